using System.CommandLine;
using System.Text.Json;
using BpfSim.Vm.Btf;

namespace BpfSim.Cli.Commands.Btf;

/// <summary><c>bpfsim btf dump file FILE [format raw|c]</c>, as bpftool has it; the word <c>file</c> may be left out.</summary>
internal sealed class BtfDumpCommand : CliCommand
{
    private readonly Argument<string[]> _words = new("[file] FILE [format raw|c]") { Description = "What to dump, and how", Arity = ArgumentArity.OneOrMore };

    public BtfDumpCommand() : base("dump", "Prints types: bpftool's raw format, a C header, or JSON",
        "bpfsim btf dump file programs/opensnoop.bpf.o", "bpfsim btf dump /sys/kernel/btf/vmlinux format c")
    {
        Arguments.Add(_words);
        SetAction(Run);
    }

    private int Run(ParseResult parsed)
    {
        var words = new Queue<string>(parsed.GetValue(_words)!);
        if (words.Count > 1 && words.Peek() == "file") words.Dequeue();
        string file = words.Dequeue(), format = "raw";
        if (words.Count > 0)
        {
            if (words.Dequeue() != "format" || words.Count != 1 || (format = words.Dequeue()) is not ("raw" or "c"))
                throw new CliException("expected 'format raw' or 'format c' after the file");
        }
        BtfData btf = BtfInput.Read(file);
        using var output = new StreamWriter(Console.OpenStandardOutput(), bufferSize: 1 << 16);
        if (parsed.GetValue(CliOptions.Json) && format == "raw") WriteJson(btf, output.BaseStream);
        else if (format == "c") WriteHeader(file, btf, output);
        else foreach (BtfType type in btf.Types) output.WriteLine(BtfText.Raw(type));
        return ExitCode.Done;
    }

    private static void WriteHeader(string file, BtfData btf, StreamWriter output)
    {
        string types;
        try
        {
            types = BtfCWriter.Write(btf);
        }
        catch (BtfException e)
        {
            throw new CliException($"{file}: {e.Message}", ExitCode.Failed);
        }
        output.Write("#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
            + "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n#endif\n\n");
        output.Write(types);
        output.Write("#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n#endif /* __VMLINUX_H__ */\n");
    }

    private static void WriteJson(BtfData btf, Stream output)
    {
        using var json = new Utf8JsonWriter(output);
        json.WriteStartObject();
        json.WriteStartArray("types");
        foreach (BtfType type in btf.Types)
        {
            WriteType(json, type);
            if (json.BytesPending > 1 << 16) json.Flush();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        output.WriteByte((byte)'\n');
    }

    private static string Label(string name) => name.Length == 0 ? "(anon)" : name;

    private static void WriteType(Utf8JsonWriter json, BtfType type)
    {
        json.WriteStartObject();
        json.WriteNumber("id", type.Id);
        json.WriteString("kind", BtfText.KindName(type.Kind));
        json.WriteString("name", Label(type.Name));
        switch (type.Kind)
        {
            case BtfKind.Int:
                json.WriteNumber("size", type.Size);
                json.WriteNumber("bits_offset", type.IntBitOffset);
                json.WriteNumber("nr_bits", type.IntBits);
                json.WriteString("encoding", BtfText.Encoding(type.IntEncoding));
                break;
            case BtfKind.Array:
                json.WriteNumber("type_id", type.ArrayElementTypeId);
                json.WriteNumber("index_type_id", type.ArrayIndexTypeId);
                json.WriteNumber("nr_elems", type.ArrayCount);
                break;
            case BtfKind.Struct or BtfKind.Union:
                json.WriteNumber("size", type.Size);
                Parts(json, "members", type.Members, m =>
                {
                    json.WriteString("name", Label(m.Name));
                    json.WriteNumber("type_id", m.TypeId);
                    json.WriteNumber("bits_offset", m.BitOffset);
                    if (m.BitfieldSize != 0) json.WriteNumber("bitfield_size", m.BitfieldSize);
                });
                break;
            case BtfKind.Enum or BtfKind.Enum64:
                json.WriteString("encoding", type.KindFlag ? "SIGNED" : "UNSIGNED");
                json.WriteNumber("size", type.Size);
                Parts(json, "values", type.Enumerators, e =>
                {
                    json.WriteString("name", Label(e.Name));
                    if (type.KindFlag) json.WriteNumber("val", e.Value);
                    // bpftool widens 32-bit values with their sign here, and here alone.
                    else json.WriteNumber("val", type.Kind == BtfKind.Enum ? (ulong)(int)e.Value : (ulong)e.Value);
                });
                break;
            case BtfKind.Fwd:
                json.WriteString("fwd_kind", type.KindFlag ? "union" : "struct");
                break;
            case BtfKind.Func or BtfKind.Var:
                json.WriteNumber("type_id", type.TypeId);
                json.WriteString("linkage", BtfText.Linkage(type.Linkage));
                break;
            case BtfKind.FuncProto:
                json.WriteNumber("ret_type_id", type.TypeId);
                Parts(json, "params", type.Params, p =>
                {
                    json.WriteString("name", Label(p.Name));
                    json.WriteNumber("type_id", p.TypeId);
                });
                break;
            case BtfKind.Datasec:
                json.WriteNumber("size", type.Size);
                Parts(json, "vars", type.Variables, v =>
                {
                    json.WriteNumber("type_id", v.TypeId);
                    json.WriteNumber("offset", v.Offset);
                    json.WriteNumber("size", v.Size);
                });
                break;
            case BtfKind.Float:
                json.WriteNumber("size", type.Size);
                break;
            case BtfKind.DeclTag:
                json.WriteNumber("type_id", type.TypeId);
                json.WriteNumber("component_idx", type.ComponentIndex);
                break;
            default:
                json.WriteNumber("type_id", type.TypeId);
                break;
        }
        json.WriteEndObject();
    }

    private static void Parts<T>(Utf8JsonWriter json, string name, BtfList<T> parts, Action<T> write)
    {
        json.WriteNumber("vlen", parts.Count);
        json.WriteStartArray(name);
        foreach (T part in parts)
        {
            json.WriteStartObject();
            write(part);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }
}
