using System.Runtime.CompilerServices;
using BpfSim.Maps;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Interpreter;

/// <summary>Jumps, calls and the end.</summary>
internal static unsafe partial class Handlers
{
    private enum TailCallOutcome { Failed, Entered, Ended }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Jump<TFuel>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TFuel : struct, IFuel
    {
        if (!TFuel.Spend(f)) return Stop(i, f, RunFault.OutOfFuel);
        i = i->Target;
        return i->Handler(i, f, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Branch64<TCondition, TDst, TSrc, TFuel>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TCondition : struct, ICondition
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
        where TFuel : struct, IFuel
    {
        if (!TCondition.Wide(TDst.Get(i, f, a, b, c, d), TSrc.Get(i, f, a, b, c, d))) return i[1].Handler(i + 1, f, a, b, c, d);
        if (!TFuel.Spend(f)) return Stop(i, f, RunFault.OutOfFuel);
        i = i->Target;
        return i->Handler(i, f, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Branch32<TCondition, TDst, TSrc, TFuel>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TCondition : struct, ICondition
        where TDst : struct, IOperand
        where TSrc : struct, IOperand
        where TFuel : struct, IFuel
    {
        if (!TCondition.Narrow((uint)TDst.Get(i, f, a, b, c, d), (uint)TSrc.Get(i, f, a, b, c, d))) return i[1].Handler(i + 1, f, a, b, c, d);
        if (!TFuel.Spend(f)) return Stop(i, f, RunFault.OutOfFuel);
        i = i->Target;
        return i->Handler(i, f, a, b, c, d);
    }

    /// <summary>Falls through until the function has had all its rounds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong MayGoto<TFuel>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TFuel : struct, IFuel
    {
        if (f->MayGotoRounds < ProgramRuntime.MayGotoRounds)
        {
            f->MayGotoRounds++;
            return i[1].Handler(i + 1, f, a, b, c, d);
        }

        if (!TFuel.Spend(f)) return Stop(i, f, RunFault.OutOfFuel);
        i = i->Target;
        return i->Handler(i, f, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong CallLocal<TFuel>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TFuel : struct, IFuel
    {
        RunState* run = f->Run;
        if (!TFuel.Spend(f)) return Stop(i, f, RunFault.OutOfFuel);
        if (f == run->Last) return Stop(i, f, RunFault.CallTooDeep);
        i->Cache.Spill(f, a, b, c, d);
        Frame* callee = Frame.Above(f);
        callee->Run = run;
        callee->Call = i;
        callee->Image = f->Image;
        callee->MayGotoRounds = 0;
        TFuel.Pass(f, callee);
        if (i->CalleeStack > 0) Frame.ClearStack(callee, i->CalleeStack);
        // Of registers that the callee may read, its caller's frame holds the same.
        i->CalleeCache.Fill(f, out a, out b, out c, out d);
        i = i->Target;
        return i->Handler(i, callee, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Exit<TResult>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TResult : struct, IOperand
    {
        ulong result = TResult.Get(i, f, a, b, c, d);
        if (f->Call == null) return result;
        return Return(f, result);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong CallHelper<TResult, TFuel>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TResult : struct, IOperand
        where TFuel : struct, IFuel
    {
        i->Cache.Spill(f, a, b, c, d);
        ulong result = TFuel.Call(i, f);
        if (f->Run->Context->Fault != RunFault.None) return 0;
        TResult.Set(i, f, ref a, ref b, ref c, ref d, result);
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>A helper or kfunc that exists, but that nobody implements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong CallMissing<TResult>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TResult : struct, IOperand
    {
        TResult.Set(i, f, ref a, ref b, ref c, ref d, unchecked((ulong)-(long)Errno.EOPNOTSUPP));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>A map helper, without the way out of managed code and back.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong CallMap<TCall, TResult>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TCall : struct, IMapCall
        where TResult : struct, IOperand
    {
        i->Cache.Spill(f, a, b, c, d);
        TResult.Set(i, f, ref a, ref b, ref c, ref d, TCall.Run(BpfMap.FromHeader((MapHeader*)f->Registers[1]), f));
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>The target takes over this frame; whoever called this function goes on when it exits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong TailCall<TResult>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TResult : struct, IOperand
    {
        i->Cache.Spill(f, a, b, c, d);
        switch (EnterTarget(f))
        {
            case TailCallOutcome.Failed:
                TResult.Set(i, f, ref a, ref b, ref c, ref d, ProgramRuntime.TailCallFailed);
                return i[1].Handler(i + 1, f, a, b, c, d);
            case TailCallOutcome.Ended:
                if (f->Call == null) return f->Registers[0];
                return Return(f, f->Registers[0]);
        }

        f->Image->Cache.Fill(f, out a, out b, out c, out d);
        i = f->Image->Code;
        return i->Handler(i, f, a, b, c, d);
    }

    /// <summary>A load from the packet; r6 is the context. Outside the packet the function ends with 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong LoadPacket<TSrc, TResult>(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
        where TSrc : struct, IOperand
        where TResult : struct, IOperand
    {
        i->Cache.Spill(f, a, b, c, d);
        if (!PacketBytes(f, (uint)i->Imm + (uint)TSrc.Get(i, f, a, b, c, d), i->Dst))
        {
            if (f->Call == null) return 0;
            return Return(f, 0);
        }

        TResult.Set(i, f, ref a, ref b, ref c, ref d, f->Registers[0]);
        return i[1].Handler(i + 1, f, a, b, c, d);
    }

    /// <summary>What cannot be run: second slots, and the slot behind the last.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static ulong Bad(DecodedInsn* i, Frame* f, ulong a, ulong b, ulong c, ulong d)
    {
        return Stop(i, f, RunFault.BadInstruction);
    }

    /// <summary>Goes on in the function that called this one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Return(Frame* f, ulong result)
    {
        DecodedInsn* call = f->Call;
        Frame* caller = Frame.Below(f);
        // A tail call in the function went to another program.
        if (caller->Image != f->Image) f->Run->Context->Program = caller->Image->Handle;
        caller->Registers[0] = result;
        call->Cache.Fill(caller, out ulong a, out ulong b, out ulong c, out ulong d);
        return call[1].Handler(call + 1, caller, a, b, c, d);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static TailCallOutcome EnterTarget(Frame* f)
    {
        RunContext* context = f->Run->Context;
        if (context->TailCalls >= ProgramRuntime.MaxTailCalls) return TailCallOutcome.Failed;
        if (ProgramRuntime.TailCallTarget((MapHeader*)f->Registers[2], (uint)f->Registers[3]) is not { } target) return TailCallOutcome.Failed;
        context->TailCalls++;
        if (target is InterpretedProgram next)
        {
            context->Program = next.Handle;
            f->Image = next.Image;
            f->MayGotoRounds = 0;
            Frame.ClearStack(f, next.Image->StackBytes);
            return TailCallOutcome.Entered;
        }

        f->Registers[0] = InterpretedProgram.Leave(target, f->Registers[1], context);
        return TailCallOutcome.Ended;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool PacketBytes(Frame* f, uint offset, int size) =>
        LoadedProgram.Running(f->Run->Context)?.Program is { } program
        && ProgramRuntime.LoadPacket(program, f->Registers[6], offset, size, f->Run->Context, out f->Registers[0]);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ulong Stop(DecodedInsn* i, Frame* f, RunFault fault)
    {
        RunContext* context = f->Run->Context;
        context->Fault = fault;
        context->FaultInsn = (int)(i - f->Image->Code);
        return 0;
    }
}
