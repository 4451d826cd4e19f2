using System.Text;

namespace BpfSim.Vm.Btf;

/// <summary>
/// Writes types as a C header that a compiler takes, byte for byte as <c>bpftool btf dump … format c</c> (7.1): every
/// type after those that it needs whole, forward declarations where a pointer is enough, padding spelled out.
/// </summary>
public sealed partial class BtfCWriter
{
    private const int MaxDepth = 1000;

    private readonly BtfData _btf;
    private readonly StringBuilder _out = new();
    private readonly Mark[] _ordered;
    private readonly Mark[] _emitted;
    private readonly bool[] _forwarded;
    private readonly bool[] _referenced;
    private readonly List<uint> _queue = [];

    private enum Mark : byte { None, Under, Done }

    private BtfCWriter(BtfData btf)
    {
        _btf = btf;
        _ordered = new Mark[btf.TypeCount];
        _emitted = new Mark[btf.TypeCount];
        _forwarded = new bool[btf.TypeCount];
        _referenced = new bool[btf.TypeCount];
        foreach (BtfType type in btf.Types) MarkReferences(type);
    }

    /// <summary>All types of a BTF.</summary>
    /// <exception cref="BtfException">Types contain themselves, or nest deeper than any compiler writes them.</exception>
    public static string Write(BtfData btf)
    {
        var writer = new BtfCWriter(btf);
        foreach (BtfType type in btf.Types)
        {
            writer._queue.Clear();
            writer.Order(type.Id, throughPointer: false, 0);
            foreach (uint id in writer._queue) writer.Emit(id, 0, 0);
        }
        return writer._out.ToString();
    }

    /// <summary>Which types others speak of; enumerations that nobody mentions stand on their own.</summary>
    private void MarkReferences(BtfType type)
    {
        switch (type.Kind)
        {
            case BtfKind.Array:
                _referenced[type.ArrayElementTypeId] = _referenced[type.ArrayIndexTypeId] = true;
                break;
            case BtfKind.Struct or BtfKind.Union:
                foreach (BtfMember member in type.Members) _referenced[member.TypeId] = true;
                break;
            case BtfKind.FuncProto:
                foreach (BtfParam parameter in type.Params) _referenced[parameter.TypeId] = true;
                break;
            case BtfKind.Datasec:
                foreach (BtfVarSecInfo variable in type.Variables) _referenced[variable.TypeId] = true;
                break;
            case BtfKind.Ptr or BtfKind.Typedef or BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.Func or BtfKind.Var or BtfKind.DeclTag or BtfKind.TypeTag:
                _referenced[type.TypeId] = true;
                break;
        }
    }

    /// <summary>
    /// Queues what has to be defined before a type can be used, then the type. A pointer needs a named struct only
    /// by name; an anonymous one is written out wherever it is used, and needs its members.
    /// </summary>
    /// <returns>Whether something had to be defined: then what uses it through a pointer waits for it as well.</returns>
    private bool Order(uint id, bool throughPointer, int depth)
    {
        if (depth > MaxDepth) throw new BtfException($".BTF: type {id} is nested deeper than {MaxDepth} types");
        BtfType type = _btf[id];
        if (_ordered[id] == Mark.Done) return true;
        if (_ordered[id] == Mark.Under)
        {
            if (type.IsComposite && throughPointer && type.NameOffset != 0) return false;
            throw new BtfException($".BTF: type {id} ({type.Name}) contains itself");
        }
        switch (type.Kind)
        {
            case BtfKind.Ptr:
                bool strong = Order(type.TypeId, throughPointer: true, depth + 1);
                _ordered[id] = Mark.Done;
                return strong;
            case BtfKind.Array:
                return Order(type.ArrayElementTypeId, throughPointer: false, depth + 1);
            case BtfKind.Struct or BtfKind.Union:
                if (throughPointer && type.NameOffset != 0) return false;
                _ordered[id] = Mark.Under;
                foreach (BtfMember member in type.Members) Order(member.TypeId, throughPointer: false, depth + 1);
                if (type.NameOffset != 0) _queue.Add(id);
                _ordered[id] = Mark.Done;
                return true;
            case BtfKind.Enum or BtfKind.Enum64 or BtfKind.Fwd:
                if (type.NameOffset != 0 || !_referenced[id]) _queue.Add(id);
                _ordered[id] = Mark.Done;
                return true;
            case BtfKind.Typedef:
                if (!Order(type.TypeId, throughPointer, depth + 1) && throughPointer) return false;
                _queue.Add(id);
                _ordered[id] = Mark.Done;
                return true;
            case BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.TypeTag:
                return Order(type.TypeId, throughPointer, depth + 1);
            case BtfKind.FuncProto:
                bool any = Order(type.TypeId, throughPointer, depth + 1);
                foreach (BtfParam parameter in type.Params) any |= Order(parameter.TypeId, throughPointer, depth + 1);
                return any;
            case BtfKind.Unknown:
                return false;
            default:
                _ordered[id] = Mark.Done;
                return false;
        }
    }

    /// <summary>Writes a type's definition, or what <paramref name="container"/>, whose definition is under way, needs of it.</summary>
    private void Emit(uint id, uint container, int depth)
    {
        if (depth > MaxDepth) throw new BtfException($".BTF: type {id} is nested deeper than {MaxDepth} types");
        BtfType type = _btf[id];
        if (_emitted[id] == Mark.Done) return;
        if (_emitted[id] == Mark.Under)
        {
            EmitLoop(type, container);
            return;
        }
        bool top = container == 0;
        switch (type.Kind)
        {
            case BtfKind.Enum or BtfKind.Enum64:
                if (top)
                {
                    EnumDefinition(type, 0);
                    _out.Append(";\n\n");
                }
                _emitted[id] = Mark.Done;
                break;
            case BtfKind.Ptr or BtfKind.Const or BtfKind.Volatile or BtfKind.Restrict or BtfKind.TypeTag:
                Emit(type.TypeId, container, depth + 1);
                break;
            case BtfKind.Array:
                Emit(type.ArrayElementTypeId, container, depth + 1);
                break;
            case BtfKind.Fwd:
                _out.Append(type.KindFlag ? "union " : "struct ").Append(TypeName(type)).Append(";\n\n");
                _emitted[id] = Mark.Done;
                break;
            case BtfKind.Typedef:
                _emitted[id] = Mark.Under;
                Emit(type.TypeId, id, depth + 1);
                if (!_forwarded[id]) TypedefDefinition(type);
                _emitted[id] = Mark.Done;
                break;
            case BtfKind.Struct or BtfKind.Union:
                EmitComposite(type, container, depth);
                break;
            case BtfKind.FuncProto:
                Emit(type.TypeId, container, depth + 1);
                foreach (BtfParam parameter in type.Params) Emit(parameter.TypeId, container, depth + 1);
                break;
        }
    }

    /// <summary>A type that is met again while it is being written: its name has to be known before.</summary>
    private void EmitLoop(BtfType type, uint container)
    {
        if (_forwarded[type.Id]) return;
        if (type.IsComposite)
        {
            // A struct that speaks of itself knows its own name.
            if (type.Id == container || type.NameOffset == 0) return;
            Forward(type);
        }
        else if (type.Kind == BtfKind.Typedef)
        {
            TypedefDefinition(type);
            _forwarded[type.Id] = true;
        }
    }

    private void EmitComposite(BtfType type, uint container, int depth)
    {
        uint id = type.Id;
        bool top = container == 0;
        _emitted[id] = Mark.Under;
        if (top || type.NameOffset == 0)
        {
            foreach (BtfMember member in type.Members) Emit(member.TypeId, type.NameOffset == 0 ? container : id, depth + 1);
        }
        else if (!_forwarded[id] && id != container)
        {
            Forward(type);
        }
        if (!top)
        {
            _emitted[id] = Mark.None;
            return;
        }
        StructDefinition(type, 0);
        _out.Append(";\n\n");
        _emitted[id] = Mark.Done;
    }

    private void Forward(BtfType type)
    {
        StructName(type);
        _out.Append(";\n\n");
        _forwarded[type.Id] = true;
    }

    private void TypedefDefinition(BtfType type)
    {
        // Compilers know this one without being told.
        if (type.Name == "__builtin_va_list") return;
        string name = IdentifierName(type);
        if (type.TypeId == 0 && name == "__gnuc_va_list")
        {
            _out.Append("typedef __builtin_va_list __gnuc_va_list;\n\n");
            return;
        }
        _out.Append("typedef ");
        Declaration(type.TypeId, name, 0, 0);
        _out.Append(";\n\n");
    }
}
