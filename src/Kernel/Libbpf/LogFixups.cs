using System.Globalization;
using BpfSim.Vm.Btf;
using BpfSim.Vm.Object;

namespace BpfSim.Kernel.Libbpf;

/// <summary>
/// Explains, as libbpf does, the log of a program that reached an instruction which the loader itself poisoned:
/// the verifier knows only of a call to an unknown helper.
/// </summary>
internal static class LogFixups
{
    /// <summary>Helper id that stands for a map that was not created.</summary>
    public const int MissingMapBase = 2001000000;

    private const string InvalidFunc = "invalid func unknown#";

    /// <summary>Whether the program may have been refused for an instruction of the loader's.</summary>
    public static bool NeedsExplanation(ProgramVerdict verdict) => verdict.Message?.StartsWith(InvalidFunc, StringComparison.Ordinal) == true;

    public static ProgramVerdict Apply(ProgramVerdict verdict)
    {
        if (verdict.Message is not { } message || !message.StartsWith(InvalidFunc, StringComparison.Ordinal)) return verdict;
        if (!int.TryParse(message.AsSpan(InvalidFunc.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int id)) return verdict;
        if (Explain(verdict, id, CallSlot(verdict.Log, id)) is not { } words) return verdict;
        return verdict with { Message = words.Message, Log = Replace(verdict.Log, message, words) };
    }

    private static (string Title, string Message)? Explain(ProgramVerdict verdict, int id, int slot)
    {
        switch (id)
        {
            case CoreRelocator.PoisonHelperId:
                foreach (CoreRelocation relocation in verdict.Program.CoreRelocations)
                    if (relocation.InsnOff == slot && verdict.Program.Btf is { } btf)
                        return ("invalid CO-RE relocation", $"failed to resolve CO-RE relocation {CoreRelocator.Describe(btf, relocation)}");
                return null;
            case ObjectLinker.MissingKfuncBase:
                foreach (var reference in verdict.Program.Externs)
                    if (reference.InsnOff == slot)
                        return ("invalid kfunc call", $"kfunc '{reference.Name}' is referenced but wasn't resolved");
                return null;
            case MissingMapBase:
                return verdict.Program.MapReferences.TryGetValue(slot, out string? name)
                    ? ("invalid BPF map reference", $"BPF map '{name}' is referenced but wasn't created") : null;
            default:
                return null;
        }
    }

    /// <summary>The slot in the log's last line <c>12: (85) call unknown#195896080</c>; -1 if there is none.</summary>
    private static int CallSlot(string log, int id)
    {
        int call = log.LastIndexOf($"call unknown#{id}", StringComparison.Ordinal);
        if (call < 0) return -1;
        int start = log.LastIndexOf('\n', call) + 1, colon = log.IndexOf(':', start);
        return colon > start && int.TryParse(log.AsSpan(start, colon - start), out int slot) ? slot : -1;
    }

    private static string Replace(string log, string message, (string Title, string Message) words)
    {
        int at = log.LastIndexOf(message, StringComparison.Ordinal);
        if (at <= 0) return log;
        int line = log.LastIndexOf('\n', Math.Max(0, at - 2)) + 1, colon = log.IndexOf(':', line);
        if (colon < 0 || colon > at) return log;
        return string.Concat(log.AsSpan(0, colon), $": <{words.Title}>\n{words.Message}", log.AsSpan(at + message.Length));
    }
}
