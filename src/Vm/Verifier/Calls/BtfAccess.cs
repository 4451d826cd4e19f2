using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

// Loads and stores through typed pointers to kernel objects and to the program's own objects.
internal sealed partial class ProgramVerifier
{
    private const RegType TrustedModifiers = RegType.MemAlloc | RegType.PtrTrusted | RegType.NonOwnRef;

    /// <summary>Load or store through a BTF pointer; the loaded register is set.</summary>
    private void CheckBtfAccess(int regno, int off, int size, AccessType type, int valueRegno)
    {
        RegisterState reg = Regs[regno];
        BtfType pointee = BtfOf(reg.Btf)[reg.BtfId];
        string name = pointee.Name;
        if (!AllowPtrLeaks) Reject(Errno.EPERM, $"'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN");
        if (!Input.Attributes.GplCompatible && reg.Btf == BtfSource.Kernel)
            Reject(Errno.EINVAL, $"Cannot access kernel 'struct {name}' from non-GPL compatible program");
        if (off < 0) Reject(Errno.EACCES, $"R{regno} is ptr_{name} invalid negative access: off={off}");
        if (!reg.IsConst || reg.VarOff.Value != 0)
            Reject(Errno.EACCES, $"R{regno} is ptr_{name} invalid variable offset: off={off}, var_off={reg.VarOff}");
        if (reg.Type.HasAny(RegType.MemUser)) Reject(Errno.EACCES, $"R{regno} is ptr_{name} access user memory: off={off}");
        if (reg.Type.HasAny(RegType.MemPercpu)) Reject(Errno.EACCES, $"R{regno} is ptr_{name} access percpu memory: off={off}");

        bool allocated = reg.Type.HasAny(RegType.MemAlloc);
        if (type == AccessType.Write && allocated && reg.Type.HasAny(RegType.PtrUntrusted)) Reject(Errno.EACCES, "only read is supported");
        if (type == AccessType.Write && !allocated)
        {
            CheckKernelObjectWrite(name, off, size);
            return;
        }

        bool borrowed = reg.Type.HasAny(RegType.MemRcu | RegType.NonOwnRef);
        if (allocated && !borrowed && reg.RefObjId == 0) RejectBug("ref_obj_id for allocated object must be non-zero");
        BtfStep step = AccessStruct(reg, pointee, off, size);
        if (type != AccessType.Read || valueRegno < 0) return;
        LoadThroughBtf(ref Regs[valueRegno], reg, step);
    }

    private void LoadThroughBtf(ref RegisterState loaded, in RegisterState reg, BtfStep step)
    {
        switch (step.Kind)
        {
            case BtfWalkKind.Pointer:
                RegType flags = PointerFlags(reg, step);
                BtfSource source = reg.Btf;
                loaded.MarkPointer(RegType.PtrToBtfId | flags);
                loaded.Btf = source;
                loaded.BtfId = step.TypeId;
                if (flags.HasAny(RegType.PtrMaybeNull)) loaded.Id = NewId();
                break;
            case BtfWalkKind.PointerToOther:
                loaded.MarkPointer(RegType.PtrToMem | RegType.MemRdonly | RegType.PtrUntrusted);
                loaded.MemSize = 0;
                break;
            default:
                loaded.MarkUnknown(!BpfCapable);
                break;
        }
    }

    /// <summary>What lies at the offset; rejects where nothing may be accessed.</summary>
    private BtfStep AccessStruct(in RegisterState reg, BtfType pointee, int off, int size)
    {
        bool allocated = reg.Type.HasAny(RegType.MemAlloc);
        if (allocated)
        {
            foreach (SpecialField field in RecordOf(reg))
            {
                if (off < field.Offset + field.Size && field.Offset < off + size)
                    Reject(Errno.EACCES, $"direct access to {SpecialFieldName(field.Kind)} is disallowed");
            }
        }

        long at = off;
        bool untrusted = false;
        while (true)
        {
            BtfStep step = BtfWalk.Step(pointee, at, size, untrusted);
            untrusted |= step.Untrusted;
            switch (step.Kind)
            {
                case BtfWalkKind.Error:
                    Reject(step.Invalid ? Errno.EINVAL : Errno.EACCES, step.Message!);
                    return default;
                case BtfWalkKind.Struct:
                    pointee = pointee.Btf[step.TypeId];
                    at = 0;
                    continue;
                case BtfWalkKind.Pointer when allocated:
                    return new BtfStep(BtfWalkKind.Scalar);
                default:
                    return step with { Untrusted = untrusted };
            }
        }
    }

    /// <summary>A special field's name in messages.</summary>
    internal static string SpecialFieldName(SpecialFieldKind kind) => kind switch
    {
        SpecialFieldKind.SpinLock => "bpf_spin_lock",
        SpecialFieldKind.ResSpinLock => "bpf_res_spin_lock",
        SpecialFieldKind.Timer => "bpf_timer",
        SpecialFieldKind.Workqueue => "bpf_wq",
        SpecialFieldKind.TaskWork => "bpf_task_work",
        SpecialFieldKind.KptrUnref or SpecialFieldKind.KptrRef => "kptr",
        SpecialFieldKind.KptrPercpu => "percpu_kptr",
        SpecialFieldKind.Uptr => "uptr",
        SpecialFieldKind.ListHead => "bpf_list_head",
        SpecialFieldKind.ListNode => "bpf_list_node",
        SpecialFieldKind.RbRoot => "bpf_rb_root",
        SpecialFieldKind.RbNode => "bpf_rb_node",
        SpecialFieldKind.Refcount => "bpf_refcount",
        _ => "unknown",
    };

    /// <summary>Kernel objects may be written only where a subsystem says so: the mark of a connection, a congestion control's fields.</summary>
    private void CheckKernelObjectWrite(string name, int off, int size)
    {
        bool networking = Input.Attributes.Type is ProgramType.SchedCls or ProgramType.SchedAct or ProgramType.Xdp;
        if (!networking || name is not ("nf_conn" or "nf_conn___init")) Reject(Errno.EACCES, "only read is supported");

        long mark = KernelBtf.FindComposite("nf_conn")?.FindMember("mark") is { } member ? member.ByteOffset : -1;
        if (off != mark) Reject(Errno.EACCES, $"no write support to nf_conn at off {off}");
        if (off + size > mark + 4) Reject(Errno.EACCES, $"write access at off {off} with size {size} beyond the member of nf_conn ended at {mark + 4}");
    }

    private static bool IsTrusted(in RegisterState reg)
    {
        if (reg.RefObjId != 0) return true;
        bool unsafeModifiers = (reg.Type.Flags() & ~TrustedModifiers) != 0;
        if (reg.Type.IsSock() && !unsafeModifiers) return true;
        return reg.Type.HasAny(TrustedModifiers) && !unsafeModifiers;
    }

    /// <summary>How far a pointer may be trusted that was loaded through another one.</summary>
    private RegType PointerFlags(in RegisterState reg, BtfStep step)
    {
        RegType flags = step.Untrusted ? RegType.PtrUntrusted : 0;
        flags |= step.Tag switch
        {
            "user" => RegType.MemUser,
            "percpu" => RegType.MemPercpu,
            "rcu" => RegType.MemRcu,
            _ => 0,
        };
        const RegType trust = RegType.PtrTrusted | RegType.MemRcu;
        if (reg.Type.HasAny(RegType.PtrUntrusted)) return RegType.PtrUntrusted;
        bool rcuPointer = reg.Type.HasAny(RegType.MemRcu);
        if (!IsTrusted(reg) && !rcuPointer) return flags & ~trust;
        if (IsSafeField(reg, step, "__safe_trusted")) return flags | RegType.PtrTrusted;
        if (IsSafeField(reg, step, "__safe_trusted_or_null")) return flags | RegType.PtrTrusted | RegType.PtrMaybeNull;
        if (!InRcuSection || reg.Type.MayBeNull()) return RegType.PtrUntrusted;
        if (IsSafeField(reg, step, "__safe_rcu")) return flags | RegType.MemRcu;
        bool orNull = IsSafeField(reg, step, "__safe_rcu_or_null");
        if (flags.HasAny(RegType.MemRcu) || orNull)
        {
            flags |= RegType.MemRcu | RegType.PtrMaybeNull;
            return orNull ? flags & ~RegType.PtrUntrusted : flags;
        }

        return flags.HasAny(RegType.MemPercpu | RegType.MemUser) ? flags : flags & ~trust;
    }

    /// <summary>Whether the kernel lists the field as one whose pointee is as safe as its parent; the lists are types of its BTF.</summary>
    private bool IsSafeField(in RegisterState reg, BtfStep step, string suffix)
    {
        if (reg.Btf != BtfSource.Kernel || reg.Type.Base() != RegType.PtrToBtfId) return false;
        string parent = KernelBtf[reg.BtfId].Name;
        if (KernelBtf.Find(parent + suffix, BtfKind.Struct) is not { } safe) return false;
        foreach (BtfMember member in safe.Members)
        {
            if (!step.Field.StartsWith(member.Name, StringComparison.Ordinal)) continue;
            BtfType pointer = KernelBtf.Resolve(member.TypeId);
            if (pointer.Kind == BtfKind.Ptr && KernelBtf.Resolve(pointer.TypeId).Id == step.TypeId) return true;
        }

        return false;
    }

    /// <summary>Whether a pointer into one type is also a pointer to another: the same type, or a struct that starts there.</summary>
    private bool BtfTypesMatch(BtfSource source, uint id, int off, BtfSource wantedSource, uint wanted, bool strict)
    {
        if (off == 0 && source == wantedSource && id == wanted) return true;
        if (strict) return false;
        BtfType type = BtfOf(source)[id];
        long at = off;
        while (true)
        {
            BtfStep step = BtfWalk.Step(type, at, 1);
            if (step.Kind == BtfWalkKind.Error) Verbose(step.Message + "\n");
            if (step.Kind != BtfWalkKind.Struct) return false;
            if (source == wantedSource && step.TypeId == wanted) return true;
            type = type.Btf[step.TypeId];
            at = 0;
        }
    }

    /// <summary>Load through a map pointer: fields of struct bpf_map by the kernel's BTF.</summary>
    private void CheckMapPtrAccess(int regno, int off, int size, AccessType type, int valueRegno)
    {
        if (KernelBtf.Find("bpf_map", BtfKind.Struct) is not { } general)
        {
            Reject(Errno.EOPNOTSUPP, "map_ptr access not supported without CONFIG_DEBUG_INFO_BTF");
            return;
        }

        string name = MapStructName(Maps[Regs[regno].MapIndex].Type);
        BtfType map = name.Length > 0 && KernelBtf.Find(name, BtfKind.Struct) is { } special ? special : general;
        if (name.Length == 0) Reject(Errno.EOPNOTSUPP, $"map_ptr access not supported for map type {(uint)Maps[Regs[regno].MapIndex].Type}");
        if (!AllowPtrLeaks) Reject(Errno.EPERM, $"'struct {map.Name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN");
        if (off < 0) Reject(Errno.EACCES, $"R{regno} is {map.Name} invalid negative access: off={off}");
        if (type != AccessType.Read) Reject(Errno.EACCES, $"only read from {map.Name} is supported");
        var pointer = default(RegisterState);
        pointer.MarkPointer(RegType.PtrToBtfId);
        pointer.Btf = BtfSource.Kernel;
        pointer.BtfId = map.Id;
        BtfStep step = AccessStruct(pointer, map, off, size);
        if (valueRegno >= 0) LoadThroughBtf(ref Regs[valueRegno], pointer, step);
    }

    private static string MapStructName(MapType type) => type switch
    {
        MapType.Hash or MapType.PercpuHash or MapType.LruHash or MapType.LruPercpuHash or MapType.HashOfMaps => "bpf_htab",
        MapType.Array or MapType.PercpuArray or MapType.ArrayOfMaps or MapType.ProgArray or MapType.PerfEventArray
            or MapType.CgroupArray => "bpf_array",
        MapType.LpmTrie => "lpm_trie",
        MapType.Queue or MapType.Stack => "bpf_queue_stack",
        MapType.Ringbuf or MapType.UserRingbuf => "bpf_ringbuf_map",
        MapType.StackTrace => "bpf_stack_map",
        MapType.Sockmap => "bpf_stab",
        MapType.Sockhash => "bpf_shtab",
        MapType.Devmap or MapType.DevmapHash => "bpf_dtab",
        MapType.Cpumap => "bpf_cpu_map",
        MapType.Xskmap => "xsk_map",
        MapType.BloomFilter => "bpf_bloom_filter",
        MapType.ReuseportSockarray => "reuseport_array",
        MapType.CgroupStorage or MapType.PercpuCgroupStorage => "bpf_cgroup_storage_map",
        MapType.SkStorage or MapType.InodeStorage or MapType.TaskStorage or MapType.CgrpStorage => "bpf_local_storage_map",
        MapType.StructOps => "bpf_struct_ops_map",
        MapType.Arena => "bpf_arena",
        _ => "",
    };

    /// <summary>Load or store of a kptr or uptr field in a map value; the loaded register is set.</summary>
    private void CheckMapKptrAccess(int regno, int valueRegno, int insnIdx, SpecialField field)
    {
        Isa.Insn insn = Insns[insnIdx];
        if (insn.Mode != Isa.MemMode.Mem) Reject(Errno.EACCES, "kptr in map can only be accessed using BPF_MEM instruction mode");
        bool store = insn.Class is Isa.InsnClass.Stx or Isa.InsnClass.St;
        if (store && field.Kind is SpecialFieldKind.KptrRef or SpecialFieldKind.KptrPercpu && store)
            Reject(Errno.EACCES, "store to referenced kptr disallowed");
        if (store && field.Kind == SpecialFieldKind.Uptr) Reject(Errno.EACCES, "store to uptr disallowed");
        Kptr kptr = ResolveKptr(field);
        if (insn.Class == Isa.InsnClass.Ldx)
        {
            RegType flags = KptrLoadFlags(field, kptr);
            ref RegisterState loaded = ref Regs[valueRegno];
            loaded.MarkPointer(RegType.PtrToBtfId | flags);
            loaded.Btf = kptr.Btf;
            loaded.BtfId = kptr.BtfId;
            if (field.Kind == SpecialFieldKind.Uptr)
            {
                loaded.MarkPointer(RegType.PtrToMem | RegType.PtrMaybeNull);
                loaded.MemSize = (uint)Math.Max(0, BtfOf(kptr.Btf).SizeOf(kptr.BtfId));
            }

            loaded.Id = NewId();
        }
        else if (insn.Class == Isa.InsnClass.Stx)
        {
            ref RegisterState value = ref Regs[valueRegno];
            if (!value.IsNull && !KptrMatches(kptr, ref value, valueRegno)) Reject(Errno.EACCES);
        }
        else if (insn.Imm != 0)
        {
            Reject(Errno.EACCES, "BPF_ST imm must be 0 when storing to kptr at off=" + field.Offset);
        }

        if (regno < 0) RejectBug("kptr access without a register");
    }

    private RegType KptrLoadFlags(SpecialField field, in Kptr kptr)
    {
        RegType flags = RegType.PtrMaybeNull;
        bool rcuSafe = field.Kind is SpecialFieldKind.KptrRef or SpecialFieldKind.KptrPercpu
            && (kptr.Btf == BtfSource.Program || IsRcuProtectedObject(BtfTypeName(kptr.Btf, kptr.BtfId)) || !InSleepable);
        if (rcuSafe && InRcuSection && (kptr.Btf == BtfSource.Program || IsRcuProtectedObject(BtfTypeName(kptr.Btf, kptr.BtfId))))
        {
            flags |= RegType.MemRcu;
            if (field.Kind == SpecialFieldKind.KptrPercpu) flags |= RegType.MemPercpu;
            else if (kptr.Btf == BtfSource.Program) flags |= RegType.MemAlloc;
            // An object that lists or trees may hold is borrowed from them.
            IReadOnlyList<SpecialField> fields = RecordOf(kptr.Btf, kptr.BtfId);
            if (HasField(fields, SpecialFieldKind.ListNode) || HasField(fields, SpecialFieldKind.RbNode)) flags |= RegType.NonOwnRef;
            return flags;
        }

        return flags | RegType.PtrUntrusted;
    }

    /// <summary>Kernel objects that are freed only after a grace period.</summary>
    private static bool IsRcuProtectedObject(string name) => name is "cgroup" or "bpf_cpumask" or "task_struct" or "bpf_crypto_ctx";
}
