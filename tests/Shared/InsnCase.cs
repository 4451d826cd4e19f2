using System.Globalization;

namespace BpfSim.Tests.Shared;

/// <summary>
/// One case of tests/data/insns: a program, the memory that r1 points to (r2 is its length), and r0, or the
/// error that stops it. A file holds many:
/// <code>
/// == name                     what it shows
/// mem 01 02 03                optional, hexadecimal bytes
/// host no: reason             optional: not for the real kernel, and why
///     r0 = 1                  the program in the assembler's language
///     exit
/// => 0x1                      r0, or "=> error TEXT"; "=> ?" is filled in by BPFSIM_UPDATE=1
/// out 01 02 04                optional: the memory afterwards
/// </code>
/// </summary>
public sealed record InsnCase(string File, int Line, string Name, byte[] Memory, string Text, ulong Result, string? Error, byte[]? MemoryOut, bool Host)
{
    /// <summary>All cases of all files.</summary>
    public static IReadOnlyList<InsnCase> All { get; } = [.. Directory.GetFiles(Folder, "*.txt").Order(StringComparer.Ordinal).SelectMany(Read)];

    /// <summary>The folder of the data files, found from the test's output folder upwards.</summary>
    public static string Folder
    {
        get
        {
            for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
                if (Directory.Exists(Path.Combine(at.FullName, "tests/data/insns"))) return Path.Combine(at.FullName, "tests/data/insns");
            throw new DirectoryNotFoundException("tests/data/insns");
        }
    }

    /// <summary>How a failing test names the case.</summary>
    public override string ToString() => $"{Path.GetFileName(File)}:{Line} {Name}";

    /// <summary>The cases of one file.</summary>
    public static IEnumerable<InsnCase> Read(string file)
    {
        string[] lines = System.IO.File.ReadAllLines(file);
        for (int i = 0; i < lines.Length; i++)
        {
            if (!lines[i].StartsWith("== ", StringComparison.Ordinal)) continue;
            int start = i + 1;
            string name = lines[i][3..], text = "";
            byte[] memory = [];
            byte[]? memoryOut = null;
            bool host = true;
            string result = "";
            for (i++; i < lines.Length && !lines[i].StartsWith("== ", StringComparison.Ordinal); i++)
            {
                if (lines[i].StartsWith("mem ", StringComparison.Ordinal)) memory = Bytes(lines[i][4..]);
                else if (lines[i].StartsWith("out ", StringComparison.Ordinal)) memoryOut = Bytes(lines[i][4..]);
                else if (lines[i].StartsWith("host no", StringComparison.Ordinal)) host = false;
                else if (lines[i].StartsWith("=> ", StringComparison.Ordinal)) result = lines[i][3..].Trim();
                else text += lines[i] + "\n";
            }

            i--;
            string? error = result.StartsWith("error ", StringComparison.Ordinal) ? result[6..] : null;
            ulong value = error is null && result != "?" ? ulong.Parse(result.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture) : 0;
            yield return new InsnCase(file, start, name, memory, text, value, error, memoryOut, host);
        }
    }

    private static byte[] Bytes(string hex) => Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));
}
