using System.Text.RegularExpressions;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Verifier.State;

namespace BpfSim.Vm.Verifier.Hints;

/// <summary>
/// Plain words under a rejection: what the verifier wanted, which instruction made it lose the fact, and the usual
/// cure. The kernel has nothing like it, so it is kept apart from the log. The facts come from the path that failed;
/// where there is none (the program's shape was wrong), from the message and the instruction.
/// </summary>
internal sealed partial class HintWriter
{
    private readonly ProgramVerifier _verifier;
    private readonly IReadOnlyList<PathStep> _steps;
    private readonly int[] _visits;
    private readonly string _message;
    private readonly int _insn;

    private HintWriter(ProgramVerifier verifier, PathTrace? trace, string message)
    {
        _verifier = verifier;
        _steps = trace?.Steps ?? [];
        _visits = trace?.Visits ?? [];
        _message = message;
        _insn = Math.Clamp(verifier.InsnIdx, 0, Math.Max(0, verifier.Insns.Length - 1));
    }

    /// <summary>The hint for a rejection; null if there is nothing to say.</summary>
    /// <param name="verifier">The verification, as the rejection left it.</param>
    /// <param name="trace">The path that was walked; null if nobody watched.</param>
    /// <param name="message">The decisive line of the log.</param>
    public static string? For(ProgramVerifier verifier, PathTrace? trace, string message)
    {
        if (verifier.Insns.Length == 0) return null;
        var writer = new HintWriter(verifier, trace, message);
        foreach ((string part, Func<HintWriter, string?> explain) in s_rules)
        {
            if (message.Contains(part, StringComparison.Ordinal) && explain(writer) is { } hint) return hint;
        }

        return null;
    }

    /// <summary>An instruction with its source line: <c>insn 7 (a.c:12: x += y)</c>.</summary>
    private string Place(int insn) =>
        _verifier.SourceOf(insn) is { } source ? $"insn {insn} ({source})" : $"insn {insn} ({_verifier.TextOf(insn)})";

    private string Here => Place(_insn);

    /// <summary>The step of the failing instruction; -1 without a path.</summary>
    private int LastStep => _steps.Count > 0 && _steps[^1].Insn == _insn ? _steps.Count - 1 : -1;

    private int InsnAt(int step) => _steps[step].Insn;

    private string PlaceOf(int step) => Place(InsnAt(step));

    /// <summary>The register that the message begins with or names, -1 if it names none.</summary>
    private int MessageReg => _message.Contains("trusted arg", StringComparison.Ordinal) && Numbers is [var arg, ..] ? arg + 1 : RegisterPattern().Match(_message) is { Success: true } m ? int.Parse(m.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture) : -1;

    [GeneratedRegex(@"\bR(\d+)\b")]
    private static partial Regex RegisterPattern();

    [GeneratedRegex(@"\d+")]
    private static partial Regex NumberPattern();

    /// <summary>The numbers of the message in their order.</summary>
    private int[] Numbers =>
        [.. NumberPattern().Matches(_message).Select(m => int.TryParse(m.Value, out int n) ? n : 0)];

    private ref RegisterState Reg(int regno) => ref _verifier.Regs[regno];

    /// <summary>The history of a register's content before the failing instruction; null without a path.</summary>
    private ValueHistory? History(int regno, int step = -1)
    {
        if (step < 0) step = LastStep;
        return step < 0 || regno is < 0 or > 10 ? null : ValueHistory.Of(_steps, _verifier.Insns, regno, step);
    }

    /// <summary>What a call calls: <c>bpf_map_lookup_elem</c>, or the function's name.</summary>
    private string CallName(int insn) => _verifier.CallNameOf(insn);

    /// <summary>Where a value comes from, in words: <c>loaded from a map value at insn 7 (…)</c>.</summary>
    private string OriginText(ValueHistory history) => history.Origin switch
    {
        ValueOrigin.Call => $"the result of {CallName(InsnAt(history.OriginStep))} at {PlaceOf(history.OriginStep)}",
        ValueOrigin.Load => $"loaded from {MemoryText(_steps[history.OriginStep].Types[history.OriginReg])} at {PlaceOf(history.OriginStep)}",
        ValueOrigin.Constant => $"a constant set at {PlaceOf(history.OriginStep)}",
        ValueOrigin.Address => $"an address loaded at {PlaceOf(history.OriginStep)}",
        ValueOrigin.Context => "the context",
        _ => "set before this path",
    };

    private static string MemoryText(RegType type) => type.Base() switch
    {
        RegType.PtrToCtx => "the context",
        RegType.PtrToMapValue => "a map value",
        RegType.PtrToStack => "the stack",
        RegType.PtrToPacket or RegType.PtrToPacketMeta => "the packet",
        RegType.PtrToBtfId => "a kernel object",
        RegType.PtrToMem => "memory",
        _ => "memory",
    };

    /// <summary>What became of a number between its origin and here: compared, changed.</summary>
    private string BoundsText(ValueHistory history)
    {
        string origin = OriginText(history);
        if (history.Check < 0) return $"it is {origin}, and nothing on this path compares it with a bound";
        if (history.ChangeAfterCheck is var change and >= 0)
            return $"it is {origin} and was compared at {PlaceOf(history.Check)}, but then changed at {PlaceOf(change)}, which the comparison says nothing about";
        return $"it is {origin}; the comparison at {PlaceOf(history.Check)} does not bound it enough on this side";
    }

    /// <summary>The newest step on the path that adds a register to the given pointer; -1 if none does.</summary>
    private int VariableMove(ValueHistory? history) =>
        history == null ? -1
        : history.Changes.FirstOrDefault(s => _verifier.Insns[InsnAt(s)] is { Source: OperandSource.X } and not { AluOp: AluOp.Mov }, -1);

    /// <summary>The number that is added at a step, as a register and what became of it.</summary>
    private (int Regno, ValueHistory? History) Added(int step)
    {
        ref readonly Insn insn = ref _verifier.Insns[InsnAt(step)];
        // "number += pointer" keeps the number in the destination.
        int regno = _steps[step].Types[insn.Dst] == RegType.Scalar ? insn.Dst : insn.Src;
        return (regno, History(regno, step));
    }

    /// <summary>The newest conditional jump on the path behind a step, with the way it went; null if there is none.</summary>
    private string? LastBranch(int afterStep)
    {
        for (int i = _steps.Count - 2; i > Math.Max(afterStep, -1); i--)
        {
            ref readonly Insn insn = ref _verifier.Insns[InsnAt(i)];
            if (insn.Class is not (InsnClass.Jmp or InsnClass.Jmp32) || insn.JmpOp is JmpOp.Ja or JmpOp.Call or JmpOp.Exit) continue;
            return $"{(InsnAt(i + 1) == InsnAt(i) + 1 ? "where the test is false at" : "where the test is true at")} {PlaceOf(i)}";
        }

        return null;
    }

    /// <summary>The first step at which an instruction was walked, -1 if it is not on the path.</summary>
    private int StepOf(int insn)
    {
        for (int i = 0; i < _steps.Count; i++)
        {
            if (_steps[i].Insn == insn) return i;
        }

        return -1;
    }
}
