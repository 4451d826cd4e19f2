using BpfSim.Maps;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Functions of the program that the kernel calls: in the middle of a helper, or later.
internal sealed partial class ProgramVerifier
{
    /// <summary>A helper runs a function of the program: walks it in a frame of its own, or as a path of its own if it runs later.</summary>
    private void CallCallback(int insnIdx, int subprogNo, int helperId) =>
        CallCallback(insnIdx, subprogNo, CallbackSetup(helperId, insnIdx), helperId == HelperId.TimerSetCallback, false);

    private void CallCallback(int insnIdx, int subprogNo, CalleeSetup setup, bool asynchronous, bool sleepable)
    {
        if (CheckSubprogArguments(subprogNo) == Errno.EFAULT) Reject(Errno.EFAULT);
        FuncFrame caller = State.Current;
        Subprogram subprog = Subprogs[subprogNo];
        subprog.IsCallback = true;
        if (asynchronous)
        {
            subprog.IsAsyncCallback = true;
            VerifierState later = PushAsyncCallback(subprog.Start, insnIdx, subprogNo, sleepable);
            FuncFrame callee = later.Frames[0]!;
            callee.AsyncEntryCount = caller.AsyncEntryCount + 1;
            setup(caller, callee);
            return;
        }

        VerifierState inside = PushState(subprog.Start, insnIdx, false);
        EnterFunction(inside, subprogNo, insnIdx, setup);
        inside.CallbackUnrollDepth++;
        inside.Frames[inside.CurFrame - 1]!.CallbackDepth++;
        caller.CallbackDepth = 0;
    }

    private CalleeSetup CallbackSetup(int helperId, int insnIdx) => helperId switch
    {
        HelperId.ForEachMapElem => SetupForEach,
        HelperId.TimerSetCallback => SetupTimer,
        HelperId.FindVma => SetupFindVma,
        HelperId.UserRingbufDrain => SetupUserRingbuf,
        HelperId.Loop => SetupLoop,
        _ => throw new InvalidOperationException($"helper {helperId} at {insnIdx} calls no function"),
    };

    private void SetupForEach(FuncFrame caller, FuncFrame callee)
    {
        MapSpec map = Maps[caller.Regs[1].MapIndex];
        if (map.Type is not (MapType.Array or MapType.PercpuArray or MapType.Hash or MapType.LruHash or MapType.PercpuHash
            or MapType.LruPercpuHash))
            Reject(Errno.ENOTSUPP, "callback function not allowed for map");
        SetMapArguments(callee, in caller.Regs[1]);
        callee.Regs[1] = caller.Regs[1];
        callee.Regs[4] = caller.Regs[3];
        EndSetup(callee, 0, 1);
    }

    private void SetupTimer(FuncFrame caller, FuncFrame callee)
    {
        SetMapArguments(callee, in caller.Regs[1]);
        callee.InAsyncCallback = true;
        callee.CallbackReturnRange = (0, 0);
    }

    /// <summary>Map, key and value, as callbacks of map elements get them.</summary>
    private static void SetMapArguments(FuncFrame callee, in RegisterState source)
    {
        RegType[] types = [RegType.ConstPtrToMap, RegType.PtrToMapKey, RegType.PtrToMapValue];
        for (int i = 0; i < 3; i++)
        {
            callee.Regs[i + 1].MarkPointer(types[i]);
            callee.Regs[i + 1].MapIndex = source.MapIndex;
            callee.Regs[i + 1].MapUid = source.MapUid;
        }
    }

    private void SetupFindVma(FuncFrame caller, FuncFrame callee)
    {
        callee.Regs[1] = caller.Regs[1];
        callee.Regs[2].MarkPointer(RegType.PtrToBtfId);
        callee.Regs[2].Btf = BtfSource.Kernel;
        callee.Regs[2].BtfId = KernelTypeId("vm_area_struct");
        callee.Regs[3] = caller.Regs[4];
        EndSetup(callee, 0, 1);
    }

    private void SetupUserRingbuf(FuncFrame caller, FuncFrame callee)
    {
        MarkDynptrRegister(ref callee.Regs[1], DynptrKind.Local, true, NewId());
        callee.Regs[2] = caller.Regs[3];
        EndSetup(callee, 0, 1);
    }

    private void SetupLoop(FuncFrame caller, FuncFrame callee)
    {
        callee.Regs[1].MarkUnknown(!BpfCapable);
        callee.Regs[2] = caller.Regs[3];
        EndSetup(callee, 0, 1);
    }

    private static void EndSetup(FuncFrame callee, long min, long max)
    {
        callee.InCallback = true;
        callee.CallbackReturnRange = (min, max);
    }
}
