using BpfSim.Vm.Btf;
using BpfSim.Vm.Isa;
using BpfSim.Vm.Programs;

namespace BpfSim.Vm.Object;

internal sealed partial class ObjectReader
{
    private const uint FlagSleepable = 1u << 4, FlagXdpHasFrags = 1u << 5;

    private ProgramSpec ToSpec(ProgramEntry program, SubprogramLinker linker)
    {
        ParsedSection section = _sectionNames.Parse(program.Section.Name);
        SectionFlags flags = section.Definition?.Flags ?? 0;
        var spec = new ProgramSpec
        {
            Name = program.Name,
            Section = program.Section.Name,
            Type = section.Definition?.Type ?? ProgramType.Unspec,
            ExpectedAttachType = section.Definition?.AttachType ?? 0,
            AttachTarget = section.Target,
            AutoLoad = section.AutoLoad,
            Flags = ((flags & SectionFlags.Sleepable) != 0 ? FlagSleepable : 0) | ((flags & SectionFlags.XdpFrags) != 0 ? FlagXdpHasFrags : 0),
            License = _license,
            KernelVersion = _version,
            Btf = _btf,
            Insns = program.Insns,
        };
        if (section.Definition == null)
            return spec with { LoadError = $"prog '{program.Name}': missing BPF prog type, check ELF section name '{program.Section.Name}'" };
        if (program.Error != null) return spec with { LoadError = program.Error };
        try
        {
            return Fill(spec, linker.Link(program));
        }
        catch (ObjectException e)
        {
            return spec with { LoadError = e.Message };
        }
    }

    private ProgramSpec Fill(ProgramSpec spec, LinkedProgram linked)
    {
        var maps = new Dictionary<int, string>();
        var externs = new List<ExternReference>();
        var functions = new List<FuncInfo>();
        var lines = new List<LineInfo>();
        var relocations = new List<CoreRelocation>();
        Insn[] insns = [.. linked.Insns];
        foreach ((ProgramEntry function, int start) in linked.Functions)
        {
            foreach (ProgramRelocation relocation in function.Relocations)
                Apply(insns, start + relocation.Slot, relocation, maps, externs);
            if (_btfExt == null) continue;
            AddFuncInfos(function, start, functions);
            AddLines(function, start, lines);
            AddCoreRelocations(function, start, relocations);
        }
        return spec with
        {
            Insns = insns,
            MapReferences = maps,
            Externs = externs,
            FuncInfos = functions,
            LineInfos = lines,
            CoreRelocations = relocations,
        };
    }

    private void Apply(Insn[] insns, int slot, ProgramRelocation relocation, Dictionary<int, string> maps, List<ExternReference> externs)
    {
        Insn insn = insns[slot];
        switch (relocation.Kind)
        {
            case RelocationKind.Map:
                insns[slot] = new Insn(insn.Code, insn.Dst, (int)PseudoSource.MapFd, insn.Off, 0);
                maps[slot] = relocation.Name;
                break;
            case RelocationKind.MapValue:
                insns[slot + 1] = insns[slot + 1] with { Imm = (int)(insn.Imm + relocation.SymbolOffset) };
                insns[slot] = new Insn(insn.Code, insn.Dst, (int)PseudoSource.MapValue, insn.Off, 0);
                maps[slot] = relocation.Name;
                break;
            case RelocationKind.Extern when relocation.Extern!.IsKconfig:
                insns[slot + 1] = insns[slot + 1] with { Imm = relocation.Extern.KconfigOffset };
                insns[slot] = new Insn(insn.Code, insn.Dst, (int)PseudoSource.MapValue, insn.Off, 0);
                maps[slot] = InternalMapName(".kconfig");
                break;
            case RelocationKind.Extern or RelocationKind.ExternCall:
                externs.Add(new ExternReference(slot, relocation.Name, relocation.Extern!.Kind, relocation.Extern.TypeId, relocation.Extern.Weak));
                break;
        }
    }

    private static bool Covers(ProgramEntry function, uint byteOffset, out int slot)
    {
        slot = (int)(byteOffset / 8) - function.FirstSlot;
        return byteOffset % 8 == 0 && slot >= 0 && slot < function.Slots;
    }

    private void AddFuncInfos(ProgramEntry function, int start, List<FuncInfo> result)
    {
        if (!_btfExt!.Functions.TryGetValue(function.Section.Name, out List<FuncRecord>? records)) return;
        foreach (FuncRecord record in records)
            if (Covers(function, record.Offset, out int slot)) result.Add(new FuncInfo(start + slot, record.TypeId));
    }

    private void AddLines(ProgramEntry function, int start, List<LineInfo> result)
    {
        if (!_btfExt!.Lines.TryGetValue(function.Section.Name, out List<LineRecord>? records)) return;
        foreach (LineRecord record in records)
        {
            if (!Covers(function, record.Offset, out int slot)) continue;
            result.Add(new LineInfo(start + slot, _btf!.GetString(record.FileOffset), _btf.GetString(record.LineOffset),
                (int)(record.LineColumn >> 10), (int)(record.LineColumn & 0x3ff)));
        }
    }

    private void AddCoreRelocations(ProgramEntry function, int start, List<CoreRelocation> result)
    {
        if (!_btfExt!.CoreRelocations.TryGetValue(function.Section.Name, out List<CoreRecord>? records)) return;
        foreach (CoreRecord record in records)
            if (Covers(function, record.Offset, out int slot))
                result.Add(new CoreRelocation(start + slot, record.TypeId, _btf!.GetString(record.AccessOffset), (CoreRelocationKind)record.Kind));
    }

    /// <summary>The relocations of .struct_ops sections: which program each function pointer of a variable takes.</summary>
    private List<StructOpsMember> ReadStructOps()
    {
        var result = new List<StructOpsMember>();
        foreach (ElfSection section in _elf.Sections)
        {
            if (_btf == null || section.Type != ElfSectionType.ProgBits) continue;
            if (section.Name is not (".struct_ops" or ".struct_ops.link" or "?.struct_ops" or "?.struct_ops.link")) continue;
            BtfType? datasec = _btf.Find(section.Name, BtfKind.Datasec);
            if (datasec is not { } found) continue;
            foreach (BtfVarSecInfo variable in found.Variables)
            {
                BtfType type = _btf.Resolve(_btf[variable.TypeId].TypeId);
                if (type.Kind != BtfKind.Struct) continue;
                foreach (ElfRelocation relocation in _elf.RelocationsOf(section))
                {
                    if (relocation.Offset < variable.Offset || relocation.Offset >= variable.Offset + type.Size) continue;
                    uint bits = (uint)(relocation.Offset - variable.Offset) * 8;
                    string member = type.Members.FirstOrDefault(m => m.BitOffset == bits).Name ?? "";
                    ProgramEntry? program = _programs.Find(p => p.Section.Index == relocation.Symbol.Section
                        && (relocation.Symbol.Type == ElfSymbolType.Section || p.Symbol.Value == relocation.Symbol.Value));
                    if (program != null) result.Add(new StructOpsMember(_btf[variable.TypeId].Name, type.Name, member, program.Name));
                }
            }
        }
        return result;
    }
}
