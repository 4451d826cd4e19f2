using System.Runtime.CompilerServices;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>What a program that nobody verified costs more than one that the verifier accepted.</summary>
internal unsafe interface IFuel
{
    /// <summary>Pays for a jump or call; false if nothing is left.</summary>
    static abstract bool Spend(Frame* f);

    /// <summary>Gives a called function the registers that it may read.</summary>
    static abstract void Pass(Frame* caller, Frame* callee);

    /// <summary>Calls the helper of an instruction with r1 to r5, which lie in the frame.</summary>
    static abstract ulong Call(DecodedInsn* i, Frame* f);
}

/// <summary>Of a verified program: it ends by itself, and functions read only what they were given.</summary>
internal unsafe struct Unlimited : IFuel
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Spend(Frame* f) => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pass(Frame* caller, Frame* callee)
    {
        callee->Registers[1] = caller->Registers[1];
        callee->Registers[2] = caller->Registers[2];
        callee->Registers[3] = caller->Registers[3];
        callee->Registers[4] = caller->Registers[4];
        callee->Registers[5] = caller->Registers[5];
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static ulong Call(DecodedInsn* i, Frame* f) =>
        i->Function(f->Registers[1], f->Registers[2], f->Registers[3], f->Registers[4], f->Registers[5], f->Run->Context);
}

/// <summary>Of an unverified program: jumps and calls are counted, and functions see all registers of their caller.</summary>
internal unsafe struct Limited : IFuel
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Spend(Frame* f) => --f->Run->Fuel >= 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Pass(Frame* caller, Frame* callee)
    {
        for (int n = 0; n < 12; n++) callee->Registers[n] = caller->Registers[n];
    }

    /// <summary>Callbacks spend the same fuel.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static ulong Call(DecodedInsn* i, Frame* f)
    {
        RunState* run = f->Run;
        RunContext* context = run->Context;
        long outer = context->Fuel;
        context->Fuel = run->Fuel;
        ulong result = Unlimited.Call(i, f);
        run->Fuel = context->Fuel;
        context->Fuel = outer;
        return result;
    }
}
