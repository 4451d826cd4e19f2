using System.Buffers.Binary;
using BpfSim.Kernel.Profile;
using BpfSim.Vm.Object;
using BpfSim.Vm.Programs;

namespace BpfSim.Kernel.Tests.Libbpf;

/// <summary>Objects with wrong bytes: each is read or refused with an error for the user, never anything else.</summary>
public sealed class BrokenObjectTests
{
    private static readonly byte[] s_good = File.ReadAllBytes(TestObjects.Features);

    private static void ReadOrRefuse(byte[] bytes)
    {
        ObjectSpec spec;
        try
        {
            spec = TestObjects.Parse(bytes);
        }
        catch (ObjectException e)
        {
            Assert.NotEmpty(e.Message);
            return;
        }
        var linker = new ObjectLinker(KernelProfile.Embedded.Btf, KernelProfile.Embedded.SymbolAddress);
        foreach (ProgramSpec program in spec.Programs)
        {
            ProgramSpec linked = linker.Link(program);
            Assert.True(linked.LoadError == null || linked.LoadError.Length > 0);
        }
    }

    [Fact]
    public void Every_byte_of_the_headers()
    {
        int table = (int)BinaryPrimitives.ReadUInt64LittleEndian(s_good.AsSpan(40)), count = s_good[60];
        IEnumerable<int> places = Enumerable.Range(0, 64).Concat(Enumerable.Range(table, 64 * count));
        foreach (int at in places)
        {
            foreach (byte value in (byte[])[0, 1, 0x7f, 0xff])
            {
                byte[] bad = [.. s_good];
                if (bad[at] == value) continue;
                bad[at] = value;
                ReadOrRefuse(bad);
            }
        }
    }

    [Fact]
    public void Every_cut()
    {
        for (int length = 0; length < s_good.Length; length += 37) ReadOrRefuse(s_good[..length]);
    }

    [Fact]
    public void Bytes_anywhere()
    {
        var random = new Random(20261122);
        for (int round = 0; round < 3000; round++)
        {
            byte[] bad = [.. s_good];
            for (int changes = random.Next(1, 9); changes > 0; changes--)
                bad[random.Next(bad.Length)] = (byte)random.Next(256);
            ReadOrRefuse(bad);
        }
    }

    [Fact]
    public void Errors_say_what_is_wrong()
    {
        byte[] big = [.. s_good];
        big[5] = 2;
        Assert.Contains("big-endian", Assert.Throws<ObjectException>(() => TestObjects.Parse(big)).Message);
        byte[] machine = [.. s_good];
        machine[18] = 62;
        Assert.Equal("ELF machine 62 at offset 18 is not BPF (247)", Assert.Throws<ObjectException>(() => TestObjects.Parse(machine)).Message);
        Assert.Equal("not an ELF file: no ELF header at offset 0", Assert.Throws<ObjectException>(() => TestObjects.Parse([1, 2, 3])).Message);
        Assert.StartsWith("ELF section headers at offset", Assert.Throws<ObjectException>(() => TestObjects.Parse(s_good[..^8])).Message);
    }
}
