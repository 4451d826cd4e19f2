using System.Globalization;
using System.Text;
using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Exploration;
using BpfSim.Vm.Verifier.Logging;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

internal sealed partial class ProgramVerifier
{
    private const uint FlagStrictAlignment = 1 << 0, FlagAnyAlignment = 1 << 1, FlagTestStateFreq = 1 << 3, FlagTestRegInvariants = 1 << 7;

    /// <summary>Prepares a verification; nothing is checked yet.</summary>
    internal ProgramVerifier(VerifierInput input, VerifierLog log)
    {
        Input = input;
        Log = log;
        Insns = (Insn[])input.Insns.Clone();
        Aux = new InsnAux[Insns.Length];
        foreach (BpfMap map in input.Maps) Maps.Add(SpecOf(map));
        AllowUninitStack = AllowPtrLeaks = BypassSpec = input.Attributes.Capabilities.Allows(Capabilities.Perfmon);
        BpfCapable = input.Attributes.Capabilities.Allows(Capabilities.Bpf);
        StrictAlignment = (input.Attributes.Flags & (FlagStrictAlignment | FlagAnyAlignment)) == FlagStrictAlignment;
        TestRegInvariants = BpfCapable && (input.Attributes.Flags & FlagTestRegInvariants) != 0;
        TestStateFreq = BpfCapable && (input.Attributes.Flags & FlagTestStateFreq) != 0;
    }

    /// <summary>What programs may rely on of a map: with its content, if that is global data that nobody can change any more.</summary>
    private static MapSpec SpecOf(BpfMap map)
    {
        MapSpec spec = map.Spec;
        if (!map.Frozen || spec.Type != MapType.Array || spec.MaxEntries != 1 || (spec.Flags & MapRdonlyProg) == 0) return spec;
        var content = new byte[spec.ValueSize];
        return map.Lookup(stackalloc byte[4], content) == 0
            ? spec with { FreezeAfterLoad = true, InitialValues = new Dictionary<uint, byte[]> { [0] = content } }
            : spec;
    }

    /// <summary>Frames and states for reuse.</summary>
    internal StatePool Pool => _pool;

    /// <summary>The line of the log that says why, if it is not simply the last.</summary>
    internal string? Decisive => _decisive;

    /// <summary>Instructions walked over all paths.</summary>
    internal int InsnsProcessed => _insnsProcessed;

    private readonly StringBuilder _safeFunctions = new();

    /// <summary>The lines about global functions that were found safe: all that the log of an accepted program keeps.</summary>
    internal string SafeFunctions => _safeFunctions.ToString();

    /// <summary>Registers (bits 0 to 9) whose value matters before an instruction.</summary>
    internal int LiveRegs(int insnIdx) => Aux[insnIdx].LiveRegsBefore;

    /// <summary>Stack slots of a frame that may be read behind a state, as bits.</summary>
    internal ulong LiveSlots(VerifierState state, int frameNo)
    {
        ulong live = 0;
        _stackLiveness.Query(state);
        for (int slot = 0; slot < MaxStack / 8; slot++)
        {
            if (_stackLiveness.IsAlive(state, frameNo, slot)) live |= 1ul << slot;
        }

        return live;
    }

    /// <summary>Counts of checkpoints.</summary>
    internal ExploredStates Explored => _explored;

    /// <summary>The checks in the kernel's order; throws <see cref="VerifierReject"/>.</summary>
    internal void Run()
    {
        if (Insns.Length == 0 || Insns.Length > InsnLimit) Reject(Errno.E2BIG);
        FindSubprogs();
        CheckSubprogs();
        CheckBtfInfo();
        CheckEncodings();
        CheckCfg();
        ComputePostorder();
        _compare = new StateCompare(Aux, AllowUninitStack, Input.CompareAllNumbers);
        _explored = new ExploredStates(Insns.Length);
        _stackLiveness = new StackLiveness(Insns, ContainingSubprog, Subprogs, i => Aux[i].CallsCallback)
        {
            Trace = Log.Detailed ? Verbose : null,
            IsPrunePoint = i => Aux[i].PrunePoint,
        };
        CheckAttachTarget();
        ComputeLoops();
        ComputeLiveRegisters();
        _functionLogStart = 0;
        MarkFastcallPatterns();
        CheckFunction(0);
        CheckGlobalFunctions();
        ShrinkFastcallStacks();
        CheckStackDepth();
        CheckFieldsExist();
        CheckTailCallMaps();
    }

    private void CheckFieldsExist()
    {
        for (int i = 0; i < Insns.Length; i++)
        {
            if (Aux[i].Seen && Insns[i].Class == InsnClass.Ldx && SocketFields.IsHalfCounter(Aux[i].PtrType, Insns[i].Off))
                RejectBug("error during ctx access conversion (0)");
        }
    }

    private void CheckEncodings()
    {
        for (int i = 0; i < Insns.Length; i++)
        {
            ref readonly Insn insn = ref Insns[i];
            if (InsnChecks.Encoding(Insns, i) is { } message) Reject(Errno.EINVAL, message);
            if (!insn.IsLdImm64) continue;
            if (insn.Src is (int)PseudoSource.MapFd or (int)PseudoSource.MapIdx or (int)PseudoSource.MapValue or (int)PseudoSource.MapIdxValue)
                CheckMapReference(i);
            else if (insn.Src == (int)PseudoSource.BtfId) ResolveBtfVariable(i);
            i++;
        }
    }

    private void CheckMapReference(int i)
    {
        ref readonly Insn insn = ref Insns[i];
        bool byIndex = insn.Src is (int)PseudoSource.MapIdx or (int)PseudoSource.MapIdxValue;
        bool known = (uint)insn.Imm < (uint)Input.Maps.Count && !Input.StrayDescriptors.Contains(i);
        // Indexes that came with an array of descriptors are resolved before.
        if (byIndex && !known) Reject(Errno.EPROTO, "fd_idx without fd_array is invalid");
        // A loader's first descriptors are its standard streams.
        if (!known) Reject(insn.Imm is >= 0 and <= 2 ? Errno.EINVAL : Errno.EBADF, $"fd {insn.Imm} is not pointing to valid bpf_map");
        // Maps are numbered in the order of their first use.
        if (insn.Imm >= EbpfVerifier.MaxUsedMaps) Reject(Errno.E2BIG, $"The total number of maps per program has reached the limit of {EbpfVerifier.MaxUsedMaps}");
        MapSpec map = Maps[insn.Imm];
        CheckMapCompatible(map);
        if (insn.Src is (int)PseudoSource.MapFd or (int)PseudoSource.MapIdx) return;
        uint off = (uint)Insns[i + 1].Imm;
        if (map.Type is not (MapType.Array or MapType.Arena or MapType.InsnArray))
            Reject(Errno.EINVAL, "no direct value access support for this map type");
        if (off >= MaxVarOff) Reject(Errno.EINVAL, $"direct value offset of {off} is not allowed");
        if (map.Type != MapType.Array) return;
        if (map.MaxEntries != 1)
            Reject(Errno.ENOTSUPP, $"invalid access to map value pointer, value_size={map.ValueSize} off={off}");
        if (off >= map.ValueSize) Reject(Errno.EINVAL, $"invalid access to map value pointer, value_size={map.ValueSize} off={off}");
    }

    /// <summary>Which maps this program may use at all.</summary>
    private void CheckMapCompatible(MapSpec map)
    {
        ProgramType type = Input.Attributes.Type;
        bool Has(params ReadOnlySpan<SpecialFieldKind> kinds)
        {
            foreach (SpecialField field in map.SpecialFields)
            {
                if (kinds.Contains(field.Kind)) return true;
            }

            return false;
        }

        bool tracing = type is ProgramType.Kprobe or ProgramType.Tracepoint or ProgramType.PerfEvent
            or ProgramType.RawTracepoint or ProgramType.RawTracepointWritable;
        if (tracing && Has(SpecialFieldKind.ListHead, SpecialFieldKind.RbRoot))
            Reject(Errno.EINVAL, "tracing progs cannot use bpf_{list_head,rb_root} yet");
        if (Has(SpecialFieldKind.SpinLock, SpecialFieldKind.ResSpinLock))
        {
            if (type == ProgramType.SocketFilter) Reject(Errno.EINVAL, "socket filter progs cannot use bpf_spin_lock yet");
            if (tracing) Reject(Errno.EINVAL, "tracing progs cannot use bpf_spin_lock yet");
        }

        if (tracing && Has(SpecialFieldKind.Timer)) Reject(Errno.EINVAL, "tracing progs cannot use bpf_timer yet");
        if (tracing && Has(SpecialFieldKind.Workqueue)) Reject(Errno.EINVAL, "tracing progs cannot use bpf_wq yet");
        if (!Input.Attributes.Sleepable) return;
        if (map.Type is not (MapType.Hash or MapType.LruHash or MapType.Array or MapType.PercpuHash or MapType.PercpuArray
            or MapType.LruPercpuHash or MapType.ArrayOfMaps or MapType.HashOfMaps or MapType.Ringbuf or MapType.UserRingbuf
            or MapType.InodeStorage or MapType.SkStorage or MapType.TaskStorage or MapType.CgrpStorage or MapType.Queue
            or MapType.Stack or MapType.Arena or MapType.InsnArray))
            Reject(Errno.EINVAL, "Sleepable programs can only use array, hash, ringbuf and local storage maps");
    }

    /// <summary>Global functions that were called, and those they call, are walked by their types alone.</summary>
    private void CheckGlobalFunctions()
    {
        if (Input.FuncInfos.Count == 0) return;
        bool again = true;
        while (again)
        {
            again = false;
            for (int i = 1; i < Subprogs.Count; i++)
            {
                Subprogram subprog = Subprogs[i];
                if (!subprog.IsGlobal || subprog.Verified || !(subprog.Called || subprog.IsExceptionCallback)) continue;
                _functionLogStart = Log.Position;
                CheckFunction(i);
                string safe = $"Func#{i} ('{subprog.Name}') is safe for any args that match its prototype\n";
                _safeFunctions.Append(safe);
                if (Log.Enabled) Verbose(safe);
                subprog.Verified = true;
                again = true;
            }
        }
    }

    /// <summary>The value that the program returns, against its type's range.</summary>
    private void CheckReturnCode(int regno, string name)
    {
        ref RegisterState reg = ref Regs[regno];
        // What is thrown in a function of main's leaves main.
        FuncFrame frame = State.Frames[0]!;
        bool subprog = frame.SubprogNo != 0 && !frame.InExceptionCallback;
        if (subprog && !frame.InAsyncCallback && frame.FrameNo == 0 && Subprogs[frame.SubprogNo].IsGlobal
            && ReturnsVoid(Subprogs[frame.SubprogNo])) return;

        CheckRegArg(regno, RegUse.Source);
        if (IsPointerValue(regno)) Reject(Errno.EACCES, $"R{regno} leaks addr as return value");
        if (frame.InAsyncCallback)
        {
            CheckReturnRange(regno, name, "async callback return", frame.CallbackReturnRange, exitMessage: "At async callback return the register");
            return;
        }

        if (subprog)
        {
            if (reg.Type != RegType.Scalar)
            {
                Reject(Errno.EINVAL, $"At subprogram exit the register {name} is not a scalar value ({RegTypeName(reg.Type)})");
            }

            return;
        }

        if (Input.ProgramType.ReturnRange(Input.Attributes) is { } range)
            CheckReturnRange(regno, name, "program exit", range, "At program exit the register");
    }

    private void CheckReturnRange(int regno, string name, string where, (long Min, long Max) range, string exitMessage)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.Type != RegType.Scalar)
            Reject(Errno.EINVAL, $"{exitMessage} {name} is not a known value ({RegTypeName(reg.Type)})");
        MarkChainPrecision(regno);
        // Hooks of security modules return an int; of all others the whole register counts.
        bool ret32 = Input.Attributes.Type == ProgramType.Lsm && Input.Attributes.ExpectedAttachType != LsmCgroup && where == "program exit";
        (long min, long max) = ret32 ? (reg.Bounds.S32Min, reg.Bounds.S32Max) : (reg.SMin, reg.SMax);
        if (min >= range.Min && max <= range.Max) return;
        LogBadRange(reg, range, where, name);
        Reject(Errno.EINVAL);
    }

    private void LogBadRange(in RegisterState reg, (long Min, long Max) range, string context, string name)
    {
        var text = new StringBuilder($"At {context} the register {name} has");
        bool unknown = true;
        if (reg.SMin > long.MinValue)
        {
            text.Append(CultureInfo.InvariantCulture, $" smin={reg.SMin}");
            unknown = false;
        }

        if (reg.SMax < long.MaxValue)
        {
            text.Append(CultureInfo.InvariantCulture, $" smax={reg.SMax}");
            unknown = false;
        }

        if (unknown) text.Append(" unknown scalar value");
        text.Append(CultureInfo.InvariantCulture, $" should have been in [{range.Min}, {range.Max}]\n");
        Verbose(text.ToString());
    }
}
