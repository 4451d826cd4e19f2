using BpfSim.Vm.Isa;

namespace BpfSim.Vm.Btf;

/// <summary>
/// Applies CO-RE relocations: finds for each what it describes in the kernel's BTF and writes the answer into
/// the instruction, by libbpf's rules. What cannot be found poisons the instruction; what is wrong in itself
/// (an ambiguity, an instruction that does not fit) fails the program.
/// </summary>
public sealed class CoreRelocator
{
    /// <summary>The helper id of a poisoned instruction; the verifier refuses the call if it is ever reached.</summary>
    public const int PoisonHelperId = 195896080;

    private readonly BtfData _local;
    private readonly BtfData? _target;
    private readonly CoreMatcher? _matcher;
    private readonly Dictionary<uint, uint[]> _candidates = [];

    /// <summary>Relocates from an object's BTF to a kernel's; without the latter every target is missing.</summary>
    public CoreRelocator(BtfData local, BtfData? target)
    {
        _local = local;
        _target = target;
        _matcher = target == null ? null : new CoreMatcher(local, target);
    }

    /// <summary>Applies one relocation to the instructions in place.</summary>
    /// <returns>Null if it was applied (poisoning included), else why it cannot be.</returns>
    public string? Apply(Span<Insn> insns, CoreRelocation relocation, string program, int index)
    {
        if ((uint)relocation.InsnOff >= (uint)insns.Length) return $"prog '{program}': relo #{index}: insn #{relocation.InsnOff} is outside the program";
        CoreSpec? path = CoreSpec.Parse(_local, relocation);
        if (path == null) return $"prog '{program}': relo #{index}: parsing [{relocation.TypeId}] {Describe(relocation.TypeId)} + {relocation.AccessSpec} failed: -22";
        if (_local[relocation.TypeId].NameOffset == 0 && relocation.Kind != CoreRelocationKind.TypeIdLocal)
            return $"prog '{program}': relo #{index}: <{(uint)relocation.Kind}> relo at insn #{relocation.InsnOff} doesn't support anonymous types";
        string? error = Decide(path, out CoreResult result);
        error ??= CorePatcher.Patch(insns, relocation.InsnOff, result);
        return error == null ? null : $"prog '{program}': relo #{index}: {error}";
    }

    /// <summary>The relocation in libbpf's words, for the message about a poisoned instruction.</summary>
    public static string Describe(BtfData local, CoreRelocation relocation) =>
        CoreSpec.Parse(local, relocation)?.ToString() ?? $"[{relocation.TypeId}] + {relocation.AccessSpec}";

    private string Describe(uint typeId) => typeId < _local.TypeCount ? $"{_local[typeId].Kind} {_local[typeId].Name}" : "?";

    private string? Decide(CoreSpec path, out CoreResult result)
    {
        result = default;
        if (path.Kind == CoreRelocationKind.TypeIdLocal)
        {
            result = new CoreResult { OldValue = path.RootTypeId, NewValue = path.RootTypeId };
            return null;
        }
        CoreSpec? chosen = null;
        foreach (uint candidate in CandidatesOf(path.RootTypeId))
        {
            CoreSpec? found = _matcher!.Match(path, candidate);
            if (found == null) continue;
            if (CoreCalculator.Calculate(path, found, out CoreResult next) is { } failure) return failure;
            if (chosen == null)
            {
                chosen = found;
                result = next;
                continue;
            }
            if (found.BitOffset != chosen.BitOffset) return $"field offset ambiguity: {found.BitOffset} != {chosen.BitOffset}";
            if (next.Poison != result.Poison || next.NewValue != result.NewValue)
                return $"relocation decision ambiguity: {(next.Poison ? "failure" : "success")} {next.NewValue} != {(result.Poison ? "failure" : "success")} {result.NewValue}";
        }
        return chosen == null ? CoreCalculator.Calculate(path, null, out result) : null;
    }

    private uint[] CandidatesOf(uint localId)
    {
        if (_target == null) return [];
        if (_candidates.TryGetValue(localId, out uint[]? known)) return known;
        BtfType type = _local[localId];
        uint[] found = [.. _target.FindCandidates(type.Name).Where(t => CoreMatcher.KindsCompatible(t, type)).Select(t => t.Id)];
        return _candidates[localId] = found;
    }
}
