using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace BpfSim.Cli.Bench;

/// <summary>The benchmark's C sources, compiled by gcc -O2 into a shared library of this process.</summary>
internal sealed class VmBenchGcc : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("bpfsim-bench").FullName;

    /// <summary>Compiles; <see cref="Library"/> stays 0 and <see cref="Reason"/> says why if that cannot be done.</summary>
    public VmBenchGcc(IReadOnlyDictionary<string, byte[]> sources)
    {
        foreach ((string name, byte[] content) in sources) File.WriteAllBytes(Path.Combine(_folder, name), content);
        ProcessStartInfo start = new("gcc")
        {
            ArgumentList = { "-O2", "-shared", "-fPIC", "-w", "-o", "bench.so", "compute.c", "tables.c" },
            WorkingDirectory = _folder,
            RedirectStandardError = true,
        };
        try
        {
            using Process gcc = Process.Start(start)!;
            string errors = gcc.StandardError.ReadToEnd();
            gcc.WaitForExit();
            if (gcc.ExitCode != 0) Reason = $"gcc failed: {errors.Split('\n')[0]}";
            else Library = NativeLibrary.Load(Path.Combine(_folder, "bench.so"));
        }
        catch (Win32Exception)
        {
            Reason = "gcc is not installed";
        }
    }

    /// <summary>The loaded library, 0 if there is none.</summary>
    public nint Library { get; }

    /// <summary>Why there is none.</summary>
    public string? Reason { get; }

    public void Dispose()
    {
        if (Library != 0) NativeLibrary.Free(Library);
        Directory.Delete(_folder, true);
    }
}
