using System.Reflection;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Jit;

namespace BpfSim.Vm.Tests.Jit;

/// <summary>Each optimisation alone, and all but each, against the interpreter on random programs with branches, loops and stack.</summary>
public sealed class JitOptionsTests
{
    public static TheoryData<string> Switches =>
        [.. typeof(JitOptions).GetProperties().Where(p => p.PropertyType == typeof(bool)).Select(p => p.Name)];

    [Theory, MemberData(nameof(Switches))]
    public void Results_do_not_depend_on(string name)
    {
        PropertyInfo property = typeof(JitOptions).GetProperty(name)!;
        JitOptions without = JitOptions.Default with { }, only = JitOptions.None with { };
        property.SetValue(without, false);
        // BMI2 can only be switched on where the CPU has it.
        property.SetValue(only, property.GetValue(JitOptions.Default));
        for (int seed = 1; seed <= 150; seed++)
        {
            List<Insn> insns = RandomPrograms.WithLoop(new Random(seed * 7919), 30);
            ulong expected = JitRunner.Interpret(insns);
            Assert.True(expected == JitRunner.Run(insns, without), $"without {name}, seed {seed}");
            Assert.True(expected == JitRunner.Run(insns, only), $"only {name}, seed {seed}");
        }
    }

    [Fact]
    public void All_off_says_so_for_every_switch()
    {
        foreach (PropertyInfo property in typeof(JitOptions).GetProperties().Where(p => p.PropertyType == typeof(bool)))
            Assert.False((bool)property.GetValue(JitOptions.None)!, property.Name);
    }
}
