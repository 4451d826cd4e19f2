using System.Runtime.InteropServices;
using BpfSim.Kernel.Host;
using BpfSim.Vm.Isa;

namespace BpfSim.Kernel.Tests.Libbpf;

/// <summary>The host's own libbpf, as the oracle of relocation: loads one program of an object and shows the instructions that it sent.</summary>
internal static unsafe partial class HostLibbpf
{
    private const string Library = "libbpf.so.1";

    /// <summary>Why there is no oracle here; null if there is one.</summary>
    public static string? UnavailableReason
    {
        get
        {
            if (!HostKernel.IsAvailable) return HostKernel.UnavailableReason;
            if (!File.Exists("/sys/kernel/btf/vmlinux")) return "the host kernel has no BTF";
            return NativeLibrary.TryLoad(Library, out _) ? null : "libbpf.so.1 is not installed";
        }
    }

    /// <summary>One program as libbpf loaded it.</summary>
    public sealed record Loaded(string Name, int Result, Insn[] Insns);

    /// <summary>Loads every program of an object, each alone.</summary>
    public static List<Loaded> LoadAll(byte[] elf, string name)
    {
        libbpf_set_print(0);
        var result = new List<Loaded>();
        for (int index = 0; ; index++)
        {
            nint handle = Open(elf, name);
            if (handle == 0) return result;
            nint wanted = 0, program = 0;
            for (int i = 0; (program = bpf_object__next_program(handle, program)) != 0; i++)
            {
                if (i == index) wanted = program;
                bpf_program__set_autoload(program, i == index);
            }
            if (wanted != 0)
            {
                int errno = bpf_object__load(handle);
                var insns = new ReadOnlySpan<Insn>((void*)bpf_program__insns(wanted), (int)bpf_program__insn_cnt(wanted));
                result.Add(new Loaded(Marshal.PtrToStringUTF8(bpf_program__name(wanted))!, errno, insns.ToArray()));
            }
            bpf_object__close(handle);
            if (wanted == 0) return result;
        }
    }

    private static nint Open(byte[] elf, string name)
    {
        byte[] nameBytes = [.. System.Text.Encoding.UTF8.GetBytes(name), 0];
        nint handle;
        fixed (byte* bytes = elf, text = nameBytes)
        {
            nint* options = stackalloc nint[2] { 16, (nint)text };
            handle = bpf_object__open_mem(bytes, (nuint)elf.Length, options);
        }
        for (nint map = 0; handle != 0 && (map = bpf_object__next_map(handle, map)) != 0;)
        {
            _ = bpf_map__set_pin_path(map, 0);
            uint type = bpf_map__type(map);
            if (type == 7 && bpf_map__value_size(map) == 0) _ = bpf_map__set_value_size(map, 127 * 8);
            if (bpf_map__max_entries(map) == 0 && type != 4) _ = bpf_map__set_max_entries(map, type == 27 ? 256 * 1024u : 10240u);
        }
        return handle;
    }

    [LibraryImport(Library)] private static partial nint libbpf_set_print(nint function);

    [LibraryImport(Library)] private static partial nint bpf_object__open_mem(byte* bytes, nuint size, nint* options);

    [LibraryImport(Library)] private static partial nint bpf_object__next_program(nint handle, nint previous);

    [LibraryImport(Library)] private static partial nint bpf_object__next_map(nint handle, nint previous);

    [LibraryImport(Library)] private static partial int bpf_object__load(nint handle);

    [LibraryImport(Library)] private static partial void bpf_object__close(nint handle);

    [LibraryImport(Library)] private static partial nint bpf_program__name(nint program);

    [LibraryImport(Library)] private static partial int bpf_program__set_autoload(nint program, [MarshalAs(UnmanagedType.U1)] bool on);

    [LibraryImport(Library)] private static partial nint bpf_program__insns(nint program);

    [LibraryImport(Library)] private static partial nuint bpf_program__insn_cnt(nint program);

    [LibraryImport(Library)] private static partial uint bpf_map__type(nint map);

    [LibraryImport(Library)] private static partial uint bpf_map__max_entries(nint map);

    [LibraryImport(Library)] private static partial uint bpf_map__value_size(nint map);

    [LibraryImport(Library)] private static partial int bpf_map__set_max_entries(nint map, uint count);

    [LibraryImport(Library)] private static partial int bpf_map__set_value_size(nint map, uint size);

    [LibraryImport(Library)] private static partial int bpf_map__set_pin_path(nint map, nint path);
}
