using BpfSim.Maps;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;
using BpfSim.Vm.Verifier;

namespace BpfSim.Kernel.Bpf;

public sealed partial class BpfSyscall
{
    private const uint KnownProgFlags = 0xff | (1u << 16);
    private const uint MaxBtfType = 0xfffff;

    /// <summary>BPF_PROG_LOAD: verifies and compiles a program. Returns its descriptor or -errno; the log is in the attributes.</summary>
    public int ProgLoad(ProgLoadAttr attr) => Traced(BpfCommand.BPF_PROG_LOAD, attr, LoadProgram(attr));

    private int LoadProgram(ProgLoadAttr attr)
    {
        int error = CheckLoadAttributes(attr, out ProgramTypeInfo? typeInfo, out BtfObject? btf, out uint attachType);
        if (error != 0) return error;

        var attributes = new ProgramAttributes
        {
            Type = attr.ProgType,
            ExpectedAttachType = attachType,
            Flags = attr.ProgFlags,
            GplCompatible = IsGplCompatible(attr.License!),
            Capabilities = _environment.Capabilities,
            AttachBtfId = attr.AttachBtfId,
            KernelBtf = _environment.KernelBtf,
        };
        error = ResolveMaps(attr, out Insn[] insns, out List<MapObject> maps, out string? message);
        if (error == 0) error = CheckBeforeVerification(attr, maps, btf, out message);
        if (error != 0)
        {
            string log = (message == null ? "" : message + "\n") + "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";
            return FinishLog(attr, (attr.LogLevel & 3) != 0 ? log : "", error);
        }

        VerifierResult verdict = _environment.Verify(new VerifierInput
        {
            Name = attr.ProgName,
            Insns = insns,
            Attributes = attributes,
            ProgramType = typeInfo!,
            Helpers = _environment.Helpers,
            Maps = maps.ConvertAll(m => m.Map),
            Btf = btf?.Data,
            FuncInfos = attr.FuncInfo,
            LineInfos = attr.LineInfo,
            SymbolAddress = _environment.SymbolAddress,
            CpuCount = _environment.Cpus,
            LogLevel = attr.LogLevel,
        });
        attr.Hint = verdict.Hint;
        error = FinishLog(attr, attr.LogLevel == 0 ? "" : verdict.Log, -(int)verdict.Errno);
        if (error != 0) return error;

        var executable = new ExecutableProgram
        {
            Name = attr.ProgName,
            Type = attr.ProgType,
            Insns = verdict.Xlated,
            FunctionStarts = verdict.FunctionStarts,
            StackDepths = verdict.StackDepths,
            ReadsUninitStack = verdict.ReadsUninitStack,
            Maps = [.. maps.Select(m => m.Map)],
            Helpers = _environment.Helpers,
            Kfuncs = _environment.Kfuncs,
            Facts = verdict.Facts,
            Btf = btf?.Data,
            Verified = true,
        };
        var program = new BpfProgram(attr, attributes, typeInfo!, _environment.Engine.Load(executable), verdict, maps, btf,
            _environment.Now());
        _programs.Add(program);
        return Fds.Install(program);
    }

    /// <summary>What the kernel checks before the verifier sees the program, in its order.</summary>
    private int CheckLoadAttributes(ProgLoadAttr attr, out ProgramTypeInfo? typeInfo, out BtfObject? btf, out uint attachType)
    {
        typeInfo = null;
        btf = null;
        attachType = FixUpAttachType(attr.ProgType, attr.ExpectedAttachType);
        if ((attr.ProgFlags & ~KnownProgFlags) != 0) return -(int)Errno.EINVAL;
        // BPF_F_TOKEN_FD: no descriptor of this process is a token.
        if ((attr.ProgFlags & FlagTokenFd) != 0) return -(int)(Fds.Find(attr.ProgTokenFd) == null ? Errno.EBADF : Errno.EINVAL);
        Capabilities loader = _environment.Capabilities;
        if (attr.Insns.Length == 0 || attr.Insns.Length > ProgramTypeTable.MaxInsns(loader)) return -(int)Errno.E2BIG;
        if (!loader.Allows(ProgramTypeTable.Needs(attr.ProgType))) return -(int)Errno.EPERM;
        int error = CheckAttachment(attr, attachType);
        if (error != 0) return error;
        if (attr.License == null) return -(int)Errno.EFAULT;
        typeInfo = _environment.FindProgramType(attr.ProgType);
        if (typeInfo == null) return -(int)Errno.EINVAL;
        if (!IsValidName(attr.ProgName)) return -(int)Errno.EINVAL;
        if (attr.ProgIfindex != 0) return -(int)Errno.EINVAL;
        if (attr.FuncInfo.Count != 0 || attr.LineInfo.Count != 0)
        {
            error = Resolve(attr.ProgBtfFd, out BtfObject found);
            if (error != 0) return error;
            if (found.IsKernel) return -(int)Errno.EACCES;
            btf = found;
        }
        if ((attr.LogLevel & ~15u) != 0 || (attr.LogLevel == 0 && attr.LogSize != 0) || attr.LogSize > uint.MaxValue >> 2)
            return -(int)Errno.EINVAL;
        return 0;
    }

    private int CheckAttachment(ProgLoadAttr attr, uint attachType)
    {
        if (attr.AttachProgFd != 0)
        {
            KernelObject? target = Fds.Find(attr.AttachProgFd);
            if (target is not (BpfProgram or BtfObject)) return -(int)Errno.EINVAL;
            if (target is BtfObject { IsKernel: false }) return -(int)Errno.ENOTSUPP;
            if (target is BpfProgram && attr.ProgType is not (ProgramType.Tracing or ProgramType.Ext)) return -(int)Errno.EINVAL;
            if (target is BtfObject && attr.AttachBtfId == 0) return -(int)Errno.EINVAL;
        }
        bool takesBtfId = attr.ProgType is ProgramType.Tracing or ProgramType.Lsm or ProgramType.StructOps or ProgramType.Ext;
        if (attr.AttachBtfId != 0 && (!takesBtfId || attr.AttachBtfId > MaxBtfType)) return -(int)Errno.EINVAL;
        return attr.ProgType switch
        {
            ProgramType.Syscall or ProgramType.Ext when attachType != 0 => -(int)Errno.EINVAL,
            ProgramType.Netfilter when attachType != (uint)AttachType.Netfilter => -(int)Errno.EINVAL,
            ProgramType.CgroupSkb when attachType > (uint)AttachType.CgroupInetEgress => -(int)Errno.EINVAL,
            // The places that these have are those that they have sections for.
            ProgramType.SkLookup or ProgramType.SkReuseport or ProgramType.CgroupSock or ProgramType.CgroupSockAddr or ProgramType.CgroupSockopt
                when !SectionTable.All.Any(s => s.Type == attr.ProgType && s.AttachType == attachType) => -(int)Errno.EINVAL,
            _ => 0,
        };
    }

    /// <summary>Old loaders leave the attach type of these two at 0; the kernel fills it in.</summary>
    private static uint FixUpAttachType(ProgramType type, uint attachType) => (type, attachType) switch
    {
        (ProgramType.CgroupSock, 0) => (uint)AttachType.CgroupInetSockCreate,
        (ProgramType.SkReuseport, 0) => (uint)AttachType.SkReuseportSelect,
        _ => attachType,
    };

    /// <summary>Licences that the kernel takes as GPL-compatible; the comparison is exact.</summary>
    public static bool IsGplCompatible(string license) => license is "GPL" or "GPL v2" or "GPL and additional rights"
        or "Dual BSD/GPL" or "Dual MIT/GPL" or "Dual MPL/GPL";

    /// <summary>Turns the descriptors in 64-bit loads into indexes into the program's map list.</summary>
    private int ResolveMaps(ProgLoadAttr attr, out Insn[] insns, out List<MapObject> maps, out string? message)
    {
        insns = (Insn[])attr.Insns.Clone();
        maps = [];
        message = null;
        if (attr.FdArrayCnt != 0)
        {
            if (attr.FdArray == null) return -(int)Errno.EFAULT;
            foreach (int fd in attr.FdArray.Take((int)attr.FdArrayCnt))
            {
                if (Fds.Find(fd) is MapObject bound) AddMap(maps, bound);
                else if (Fds.Find(fd) is not BtfObject) return Fail(out message, Fds.Find(fd) == null ? Errno.EBADF : Errno.EINVAL, $"fd {fd} is not pointing to valid bpf_map or btf");
            }
        }
        for (int i = 0; i < insns.Length; i++)
        {
            Insn insn = insns[i];
            if (!insn.IsLdImm64 || i + 1 >= insns.Length) continue;
            var source = (PseudoSource)insn.Src;
            if (source is not (PseudoSource.MapFd or PseudoSource.MapValue or PseudoSource.MapIdx or PseudoSource.MapIdxValue))
            {
                i++;
                continue;
            }
            int fd = insn.Imm;
            if (source is PseudoSource.MapIdx or PseudoSource.MapIdxValue)
            {
                if (attr.FdArray == null) return Fail(out message, Errno.EPROTO, "fd_idx without fd_array is invalid");
                if ((uint)fd >= (uint)attr.FdArray.Length) return Fail(out message, Errno.EFAULT, $"fd_idx {fd} is out of range of fd_array");
                fd = attr.FdArray[fd];
            }
            if (Resolve(fd, out MapObject map) is var error and not 0)
                return Fail(out message, (Errno)(-error), $"fd {fd} is not pointing to valid bpf_map");
            int index = AddMap(maps, map);
            if (maps.Count > EbpfVerifier.MaxUsedMaps)
                return Fail(out message, Errno.E2BIG, $"The total number of maps per program has reached the limit of {EbpfVerifier.MaxUsedMaps}");
            insns[i] = insn with { Imm = index };
            i++;
        }
        return 0;
    }

    /// <summary>What stands between attributes and verifier: exclusive maps, struct_ops without a struct, the line records.</summary>
    private static int CheckBeforeVerification(ProgLoadAttr attr, List<MapObject> maps, BtfObject? btf, out string? message)
    {
        message = null;
        foreach (MapObject map in maps)
            if (map.ExclProgHash.Length != 0 && !map.ExclProgHash.AsSpan().SequenceEqual(BpfProgram.ComputeDigest(attr.Insns)))
                return Fail(out message, Errno.EACCES, "program's hash doesn't match map's excl_prog_hash");
        if (btf != null && LineInfoCheck.Find(attr) is { } wrong) return Fail(out message, Errno.EINVAL, wrong);
        // The kernel's table of structs that programs can implement is empty here: nothing in the simulation would call them.
        if (attr.ProgType != ProgramType.StructOps) return 0;
        if (!IsGplCompatible(attr.License!)) return Fail(out message, Errno.EINVAL, "struct ops programs must have a GPL compatible license");
        if (attr.AttachBtfId != 0) message = $"attach_btf_id {attr.AttachBtfId} is not a supported struct";
        return -(int)Errno.ENOTSUPP;
    }

    private static int AddMap(List<MapObject> maps, MapObject map)
    {
        int index = maps.IndexOf(map);
        if (index >= 0) return index;
        maps.Add(map);
        return maps.Count - 1;
    }

    private static int Fail(out string? message, Errno errno, string text)
    {
        message = text;
        return -(int)errno;
    }

    /// <summary>
    /// Hands the log to user space. A buffer that is too small keeps the end of the log (BPF_LOG_FIXED, bit 3:
    /// the beginning) and makes the call fail with ENOSPC.
    /// </summary>
    private static int FinishLog(ProgLoadAttr attr, string log, int result)
    {
        attr.LogTrueSize = attr.LogLevel == 0 ? 0 : (uint)log.Length + 1;
        if (attr.LogSize == 0 || log.Length + 1 <= attr.LogSize)
        {
            attr.LogBuf = log;
            return result;
        }
        int room = (int)attr.LogSize - 1;
        attr.LogBuf = (attr.LogLevel & 8) != 0 ? log[..room] : log[^room..];
        return -(int)Errno.ENOSPC;
    }

    /// <summary>BPF_PROG_BIND_MAP: the map lives as long as the program.</summary>
    public int ProgBindMap(int progFd, int mapFd, uint flags = 0)
    {
        int result = flags != 0 ? -(int)Errno.EINVAL : Resolve(progFd, out BpfProgram program) is var e and not 0 ? e
            : Resolve(mapFd, out MapObject map) is var e2 and not 0 ? e2 : Bind(program, map);
        return Traced(BpfCommand.BPF_PROG_BIND_MAP, new ProgBindMapAttr(progFd, mapFd, flags), result);

        static int Bind(BpfProgram program, MapObject map)
        {
            program.Bind(map);
            return 0;
        }
    }
}

/// <summary>What BPF_PROG_BIND_MAP is given.</summary>
public sealed record ProgBindMapAttr(int ProgFd, int MapFd, uint Flags);
