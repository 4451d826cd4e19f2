using BpfSim.Maps;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Helpers;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier.Calls;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier;

/// <summary>What a function's BTF says of one argument.</summary>
internal enum SubprogArgKind { Scalar, Context, Memory, Dynptr, BtfPointer, Arena }

/// <summary>One argument of a function, as its BTF and its arg: tags declare it.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Flags">PtrMaybeNull, PtrTrusted, PtrUntrusted, MemRdonly.</param>
/// <param name="MemSize">Memory: bytes.</param>
/// <param name="BtfId">BTF pointers: the kernel's type.</param>
internal readonly record struct SubprogArg(SubprogArgKind Kind, RegType Flags = 0, uint MemSize = 0, uint BtfId = 0);

// Functions seen through their BTF: what global ones may be called with, and what they are verified with.
internal sealed partial class ProgramVerifier
{
    private const int MaxSubprogArgs = 5;

    [Flags]
    private enum ArgTags { None = 0, Ctx = 1, NonNull = 2, Trusted = 4, Nullable = 8, Arena = 16, Untrusted = 32 }

    /// <summary>Arguments of a subprogram by BTF; on failure says why (for global functions) and returns the errno.</summary>
    private Errno PrepareArguments(int subprogNo)
    {
        Subprogram subprog = Subprogs[subprogNo];
        if (subprog.ArgsCached) return Errno.None;
        bool global = subprogNo == 0 || subprog.IsGlobal;
        if (Input.Btf?.Find(subprog.BtfId) is not { Kind: BtfKind.Func } func) return global && Input.FuncInfos.Count > 0 ? Errno.EFAULT : Errno.EINVAL;
        BtfType proto = func.Target;
        if (proto.Params.Count > MaxSubprogArgs)
        {
            if (global)
                Verbose($"Global function {func.Name}() with {proto.Params.Count} > {MaxSubprogArgs} args. Buggy compiler.\n");
            return Errno.EINVAL;
        }

        BtfType returned = Input.Btf.Resolve(proto.TypeId);
        if (returned.Kind != BtfKind.Int && !returned.IsAnyEnum)
        {
            if (global) Verbose($"Global function {func.Name}() doesn't return scalar. Only those are supported.\n");
            return Errno.EINVAL;
        }

        var args = new SubprogArg[proto.Params.Count];
        for (int i = 0; i < args.Length; i++)
        {
            Errno errno = PrepareArgument(func, i, proto.Params[i].TypeId, global, out args[i]);
            if (errno != Errno.None) return errno;
        }

        subprog.Args = args;
        subprog.ArgsCached = true;
        return Errno.None;
    }

    private Errno PrepareArgument(BtfType func, int index, uint typeId, bool global, out SubprogArg arg)
    {
        BtfData btf = Input.Btf!;
        arg = default;
        Errno errno = TagsOf(func, index, global, out ArgTags tags);
        if (errno != Errno.None) return errno;
        BtfType type = btf.Resolve(typeId);
        if (type.Kind == BtfKind.Ptr) return PreparePointer(type, index, tags, global, out arg);
        if (tags != 0) return BadArgument($"arg#{index} has pointer tag, but is not a pointer type", Errno.EINVAL);
        if (type.Kind == BtfKind.Int || type.IsAnyEnum) return Errno.None;
        if (global) Verbose($"Arg#{index} type {KindName(type)} in {func.Name}() is not supported yet.\n");
        return Errno.EINVAL;
    }

    private Errno TagsOf(BtfType func, int index, bool global, out ArgTags tags)
    {
        tags = 0;
        foreach (BtfDeclTag tag in func.Btf.DeclTags(func.Id))
        {
            if (tag.ComponentIndex != index || !tag.Text.StartsWith("arg:", StringComparison.Ordinal)) continue;
            if (!global) return BadArgument($"arg#{index} type tag is not supported in static functions", Errno.EOPNOTSUPP);
            ArgTags known = tag.Text[4..] switch
            {
                "ctx" => ArgTags.Ctx,
                "trusted" => ArgTags.Trusted,
                "untrusted" => ArgTags.Untrusted,
                "nonnull" => ArgTags.NonNull,
                "nullable" => ArgTags.Nullable,
                "arena" => ArgTags.Arena,
                _ => 0,
            };
            if (known == 0) return BadArgument($"arg#{index} has unsupported set of tags", Errno.EOPNOTSUPP);
            tags |= known;
        }

        return Errno.None;
    }

    private Errno BadArgument(string message, Errno errno)
    {
        Verbose(message + "\n");
        return errno;
    }

    private Errno PreparePointer(BtfType pointer, int index, ArgTags tags, bool global, out SubprogArg arg)
    {
        BtfData btf = Input.Btf!;
        arg = default;
        if ((tags & ArgTags.Ctx) != 0 || IsContextPointer(pointer))
        {
            if ((tags & ~ArgTags.Ctx) != 0) return BadTags(index);
            if (tags != 0 && ContextTypeMismatch(pointer, index) is { } mismatch) return BadArgument(mismatch, Errno.EINVAL);
            arg = new SubprogArg(SubprogArgKind.Context);
            return Errno.None;
        }

        BtfType target = btf.Resolve(pointer.TypeId);
        if (target is { Kind: BtfKind.Struct, Name: "bpf_dynptr" })
        {
            if (tags != 0) return BadTags(index);
            arg = new SubprogArg(SubprogArgKind.Dynptr, RegType.MemRdonly);
            return Errno.None;
        }

        if ((tags & ArgTags.Trusted) != 0)
        {
            if ((tags & ArgTags.NonNull) != 0) return BadTags(index);
            RegType flags = RegType.PtrTrusted | ((tags & ArgTags.Nullable) != 0 ? RegType.PtrMaybeNull : 0);
            return PrepareKernelPointer(target, index, flags, out arg);
        }

        if ((tags & ArgTags.Untrusted) != 0)
        {
            if ((tags & ~ArgTags.Untrusted) != 0)
                return BadArgument($"arg#{index} untrusted cannot be combined with any other tags", Errno.EINVAL);
            if (!target.IsVoid && target.Kind != BtfKind.Int && !target.IsAnyEnum)
                return PrepareKernelPointer(target, index, RegType.PtrUntrusted, out arg);
            arg = new SubprogArg(SubprogArgKind.Memory, RegType.MemRdonly | RegType.PtrUntrusted);
            return Errno.None;
        }

        if ((tags & ArgTags.Arena) != 0)
        {
            if ((tags & ~ArgTags.Arena) != 0)
                return BadArgument($"arg#{index} arena cannot be combined with any other tags", Errno.EINVAL);
            arg = new SubprogArg(SubprogArgKind.Arena);
            return Errno.None;
        }

        if (!global) return Errno.EINVAL;
        if ((tags & ArgTags.Nullable) != 0) return BadTags(index);
        long size = target.IsVoid ? -1 : btf.SizeOf(target.Id);
        if (size < 0)
        {
            Verbose($"arg#{index} reference type('{KindName(target)} {target.Name}') size cannot be determined: -22\n");
            return Errno.EINVAL;
        }

        arg = new SubprogArg(SubprogArgKind.Memory, (tags & ArgTags.NonNull) != 0 ? 0 : RegType.PtrMaybeNull, (uint)size);
        return Errno.None;
    }

    private Errno BadTags(int index) => BadArgument($"arg#{index} has invalid combination of tags", Errno.EINVAL);

    private Errno PrepareKernelPointer(BtfType target, int index, RegType flags, out SubprogArg arg)
    {
        arg = default;
        string reference = $"arg#{index} reference type('{KindName(target)} {BtfText.NameOf(target.Name)}')";
        if (target.Name.Length == 0) return BadArgument($"{reference} candidate matching error: -22", Errno.EINVAL);
        BtfType[] candidates = [.. KernelBtf.FindCandidates(CoreName(target.Name)).Where(t => t.Kind == target.Kind)];
        if (candidates.Length == 0) return BadArgument($"{reference} has no matches", Errno.ENOENT);
        if (candidates.Length > 1) return BadArgument($"{reference} is ambiguous", Errno.ESRCH);
        if (flags == RegType.PtrUntrusted && !candidates[0].IsComposite)
        {
            return BadArgument($"arg#{index} has type {KindName(candidates[0])} '', but only struct or primitive types are allowed",
                Errno.EINVAL);
        }

        arg = new SubprogArg(SubprogArgKind.BtfPointer, flags, 0, candidates[0].Id);
        return Errno.None;
    }

    private static string CoreName(string name)
    {
        int flavour = name.IndexOf("___", StringComparison.Ordinal);
        return flavour > 0 ? name[..flavour] : name;
    }

    /// <summary>Kind of a type in the kernel's spelling.</summary>
    internal static string KindName(BtfType type) => type.Kind switch
    {
        _ when type.IsVoid => "UNKNOWN",
        BtfKind.FuncProto => "FUNC_PROTO",
        BtfKind.TypeTag => "TYPE_TAG",
        BtfKind.DeclTag => "DECL_TAG",
        var kind => kind.ToString().ToUpperInvariant(),
    };

    /// <summary>
    /// Whether the caller's r1 to r5 are what a function's BTF declares; says why not for what the kernel reports, and
    /// marks the function's BTF as unreliable.
    /// </summary>
    private Errno CheckSubprogArguments(int subprogNo)
    {
        Subprogram subprog = Subprogs[subprogNo];
        if (Input.FuncInfos.Count == 0 || Input.Btf is null) return subprog.IsGlobal ? Errno.EINVAL : Errno.None;
        if (subprog.Unreliable) return Errno.EINVAL;
        Errno errno = PrepareArguments(subprogNo);
        if (errno == Errno.None) errno = MatchArguments((SubprogArg[])subprog.Args!);
        if (errno != Errno.None) subprog.Unreliable = true;
        return errno;
    }

    private Errno MatchArguments(SubprogArg[] args)
    {
        for (int i = 0; i < args.Length; i++)
        {
            Errno errno = MatchArgument(i, args[i]);
            if (errno != Errno.None) return errno;
        }

        return Errno.None;
    }

    private Errno MatchArgument(int i, SubprogArg arg)
    {
        int regno = i + 1;
        ref RegisterState reg = ref Regs[regno];
        try
        {
            switch (arg.Kind)
            {
                case SubprogArgKind.Scalar:
                    if (reg.Type == RegType.Scalar) return Errno.None;
                    Verbose($"R{regno} is not a scalar\n");
                    return Errno.EINVAL;
                case var _ when (arg.Flags & RegType.PtrUntrusted) != 0:
                    return Errno.None;
                case SubprogArgKind.Context:
                    CheckArgumentOffset(regno, false, false);
                    if (reg.Type == RegType.PtrToCtx) return Errno.None;
                    Verbose($"arg#{i} expects pointer to ctx\n");
                    return Errno.EINVAL;
                case SubprogArgKind.Memory:
                    return MatchMemory(i, arg);
                case SubprogArgKind.Arena:
                    if (reg.Type is RegType.PtrToArena or RegType.Scalar) return Errno.None;
                    Verbose($"R{regno} is not a pointer to arena or scalar.\n");
                    return Errno.EINVAL;
                case SubprogArgKind.Dynptr:
                    CheckArgumentOffset(regno, false, true);
                    ProcessDynptrArg(regno, -1, RegType.MemRdonly, 0);
                    return Errno.None;
                default:
                    if (reg.IsNull && (arg.Flags & RegType.PtrMaybeNull) != 0) return Errno.None;
                    var meta = new CallMeta { Helper = s_noHelper };
                    ArgType type = ArgType.PtrToBtfId | ((arg.Flags & RegType.PtrMaybeNull) != 0 ? ArgType.MaybeNull : 0);
                    CheckTrustedArgument(regno, type, arg.BtfId, meta);
                    CheckArgumentOffset(regno, false, false);
                    return Errno.None;
            }
        }
        catch (VerifierReject reject)
        {
            return reject.Errno;
        }
    }

    private static readonly HelperPrototype s_noHelper = new() { Id = 0, Name = "bpf_unspec", Return = ReturnType.Void };

    private void CheckTrustedArgument(int regno, ArgType type, uint btfId, CallMeta meta) =>
        CheckArgumentType(regno, type, KernelBtf[btfId].Name, meta);

    private Errno MatchMemory(int i, SubprogArg arg)
    {
        int regno = i + 1;
        ref RegisterState reg = ref Regs[regno];
        CheckArgumentOffset(regno, false, false);
        try
        {
            CheckMemReg(regno, arg.MemSize);
        }
        catch (VerifierReject)
        {
            return Errno.EINVAL;
        }

        if ((arg.Flags & RegType.PtrMaybeNull) == 0 && reg.Type.MayBeNull())
        {
            Verbose($"arg#{i} is expected to be non-NULL\n");
            return Errno.EINVAL;
        }

        return Errno.None;
    }

    /// <summary>Memory of known size that is both read and written, or NULL.</summary>
    private void CheckMemReg(int regno, uint size)
    {
        ref RegisterState reg = ref Regs[regno];
        if (reg.IsNull) return;
        RegisterState saved = reg;
        bool nullable = reg.Type.MayBeNull();
        // The callee tests for NULL itself, so the access is judged as if the pointer were none.
        if (nullable) MarkNotNull(ref reg);
        var raw = default(RawMemory);
        try
        {
            CheckHelperMemAccess(regno, (int)size, AccessType.Read, true, ref raw);
            CheckHelperMemAccess(regno, (int)size, AccessType.Write, true, ref raw);
        }
        finally
        {
            if (nullable) Regs[regno] = saved;
        }
    }

    /// <summary>Before main is walked: r1 is the context; the BTF of main may say otherwise.</summary>
    private void SetUpMainArguments()
    {
        if (Input.FuncInfos.Count == 0) return;
        Subprogram main = Subprogs[0];
        Errno mismatch = PrepareArguments(0);
        if (mismatch != Errno.None || main.Args is not SubprogArg[] { Length: 1 } args || args[0].Kind != SubprogArgKind.Context)
            main.Unreliable = true;
    }

    /// <summary>Sets r1 to r5 for the walk of a global function.</summary>
    private void SetUpGlobalArguments(Subprogram subprog, int subprogNo)
    {
        Errno errno = PrepareArguments(subprogNo);
        if (errno != Errno.None) Reject(errno);
        var list = (SubprogArg[])subprog.Args!;
        if (subprog.IsExceptionCallback)
        {
            State.Current.InExceptionCallback = true;
            if (list.Length != 1 || list[0].Kind != SubprogArgKind.Scalar)
                Reject(Errno.EINVAL, "exception cb only supports single integer argument");
        }

        for (int i = 0; i < list.Length; i++) SetUpArgument(ref Regs[i + 1], list[i]);
    }

    private void SetUpArgument(ref RegisterState reg, SubprogArg arg)
    {
        switch (arg.Kind)
        {
            // Callers may pass any number for an arena pointer; a cast makes it one.
            case SubprogArgKind.Scalar or SubprogArgKind.Arena:
                reg.MarkUnknown(!BpfCapable);
                break;
            case SubprogArgKind.Context:
                reg.MarkPointer(RegType.PtrToCtx);
                break;
            case SubprogArgKind.Dynptr:
                MarkDynptrRegister(ref reg, DynptrKind.Local, true, NewId());
                break;
            case SubprogArgKind.Memory:
                reg.MarkPointer(RegType.PtrToMem | arg.Flags);
                reg.MemSize = arg.MemSize;
                break;
            default:
                reg.MarkPointer(RegType.PtrToBtfId | arg.Flags);
                reg.Btf = BtfSource.Kernel;
                reg.BtfId = arg.BtfId;
                break;
        }

        if (reg.Type.MayBeNull() || arg.Kind == SubprogArgKind.BtfPointer) reg.Id = NewId();
    }
}
