using System.Globalization;

namespace BpfSim.Vm.Isa.Assembler;

/// <summary>Reads one line of assembler text from left to right; every error names the column.</summary>
internal sealed class LineScanner(string file, int line, string text)
{
    private readonly string _text = StripComment(text);
    private int _at;

    public int Column => _at + 1;

    public bool AtEnd
    {
        get
        {
            SkipSpace();
            return _at >= _text.Length;
        }
    }

    public int Mark()
    {
        SkipSpace();
        return _at;
    }

    public void Reset(int mark) => _at = mark;

    public AssemblerException Error(string problem, int? at = null) => new(file, line, (at ?? _at) + 1, problem);

    /// <summary>Takes a symbol or word if it stands here; spaces inside the given text match any amount of space.</summary>
    public bool Eat(string symbol)
    {
        SkipSpace();
        int at = _at;
        foreach (char c in symbol)
        {
            if (c == ' ')
            {
                while (at < _text.Length && char.IsWhiteSpace(_text[at])) at++;
                continue;
            }

            if (at >= _text.Length || _text[at] != c) return false;
            at++;
        }

        if (IsWord(symbol[^1]) && at < _text.Length && IsWord(_text[at])) return false;
        _at = at;
        return true;
    }

    public void Expect(string symbol)
    {
        if (!Eat(symbol)) throw Error(AtEnd ? $"expected '{symbol}', found the end of the line" : $"expected '{symbol}', found '{Rest()}'");
    }

    /// <summary>Takes a name of letters, digits, <c>_</c>, <c>.</c> and <c>$</c> that does not start with a digit; null if there is none.</summary>
    public string? Name()
    {
        SkipSpace();
        int start = _at;
        if (start >= _text.Length || !(IsWord(_text[start]) || _text[start] == '.') || char.IsAsciiDigit(_text[start])) return null;
        while (_at < _text.Length && (IsWord(_text[_at]) || _text[_at] is '.' or '$')) _at++;
        return _text[start.._at];
    }

    /// <summary>Takes a register: its number, and whether it was written as the 32-bit half (<c>w1</c>).</summary>
    public bool TryRegister(out int number, out bool half)
    {
        SkipSpace();
        number = 0;
        half = false;
        if (_at + 1 >= _text.Length || _text[_at] is not ('r' or 'w' or 'R' or 'W') || !char.IsAsciiDigit(_text[_at + 1])) return false;
        int end = _at + 1;
        while (end < _text.Length && char.IsAsciiDigit(_text[end])) end++;
        if (end < _text.Length && IsWord(_text[end])) return false;
        if (!int.TryParse(_text.AsSpan(_at + 1, end - _at - 1), out number) || number > 15)
            throw Error($"no register {_text[_at..end]}: the highest is r10");
        half = _text[_at] is 'w' or 'W';
        _at = end;
        return true;
    }

    public int Register(out bool half) => TryRegister(out int number, out half) ? number
        : throw Error(AtEnd ? "expected a register, found the end of the line" : $"expected a register, found '{Rest()}'");

    /// <summary>Takes a number: decimal, hexadecimal or binary, with an optional sign; up to 64 bits.</summary>
    public bool TryNumber(out ulong value, out bool negative, out bool hex)
    {
        SkipSpace();
        (value, negative, hex) = (0, false, false);
        int at = _at;
        if (at < _text.Length && _text[at] is '+' or '-')
        {
            negative = _text[at] == '-';
            at++;
            while (at < _text.Length && _text[at] == ' ') at++;
        }

        int start = at;
        while (at < _text.Length && (char.IsAsciiLetterOrDigit(_text[at]) || _text[at] == '_')) at++;
        if (start == at || !char.IsAsciiDigit(_text[start])) return false;
        string digits = _text[start..at].Replace("_", "", StringComparison.Ordinal);
        hex = digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        bool good = hex ? ulong.TryParse(digits.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value)
            : digits.StartsWith("0b", StringComparison.OrdinalIgnoreCase) ? ulong.TryParse(digits.AsSpan(2), NumberStyles.AllowBinarySpecifier, CultureInfo.InvariantCulture, out value)
            : ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value);
        if (!good || (negative && value > 1UL << 63)) throw Error($"'{_text[_at..at]}' is no number of at most 64 bits");
        _at = at;
        return true;
    }

    /// <summary>Takes a number between two bounds.</summary>
    public long Number(long min, long max, string what)
    {
        SkipSpace();
        int at = _at;
        if (!TryNumber(out ulong value, out bool negative, out _))
            throw Error(AtEnd ? $"expected {what}, found the end of the line" : $"expected {what}, found '{Rest()}'");
        long result = negative ? -(long)value : (long)value;
        bool fits = negative ? result >= min : value <= long.MaxValue && result >= min && result <= max;
        return fits ? result : throw Error($"{what} {_text[at.._at].Trim()} is not between {min} and {max}", at);
    }

    /// <summary>Takes a string in double quotes with C escapes, as bytes in UTF-8.</summary>
    public byte[] Quoted()
    {
        Expect("\"");
        var bytes = new List<byte>();
        while (_at < _text.Length && _text[_at] != '"')
        {
            char c = _text[_at++];
            if (c != '\\')
            {
                bytes.AddRange(System.Text.Encoding.UTF8.GetBytes(c.ToString()));
                continue;
            }

            c = _at < _text.Length ? _text[_at++] : '\0';
            if (c == 'x' && _at + 1 < _text.Length && byte.TryParse(_text.AsSpan(_at, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte code))
            {
                bytes.Add(code);
                _at += 2;
                continue;
            }

            bytes.Add(c switch
            {
                'n' => (byte)'\n',
                't' => (byte)'\t',
                'r' => (byte)'\r',
                '0' => 0,
                '\\' => (byte)'\\',
                '"' => (byte)'"',
                _ => throw Error($"unknown escape '\\{c}'", _at - 2),
            });
        }

        if (_at >= _text.Length) throw Error("the string does not end on its line");
        _at++;
        return [.. bytes];
    }

    /// <summary>What has not been read yet, shortened for messages.</summary>
    public string Rest()
    {
        SkipSpace();
        string rest = _text[_at..].TrimEnd();
        return rest.Length <= 24 ? rest : rest[..24] + "…";
    }

    /// <summary>Takes everything up to the end of the line.</summary>
    public string RestOfLine()
    {
        SkipSpace();
        string rest = _text[_at..].TrimEnd();
        _at = _text.Length;
        return rest;
    }

    public void End()
    {
        if (!AtEnd) throw Error($"unexpected '{Rest()}' after the end of the statement");
    }

    private void SkipSpace()
    {
        while (_at < _text.Length && char.IsWhiteSpace(_text[_at])) _at++;
    }

    private static bool IsWord(char c) => char.IsAsciiLetterOrDigit(c) || c == '_';

    /// <summary>A comment starts at <c>;</c> or <c>//</c>, and at <c>#</c> where no number or name is attached to it (<c>call x#6</c>).</summary>
    private static string StripComment(string text)
    {
        bool quoted = false;
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == '"' && (i == 0 || text[i - 1] != '\\')) quoted = !quoted;
            if (quoted) continue;
            bool slashes = c == '/' && i + 1 < text.Length && text[i + 1] == '/';
            bool hash = c == '#' && (i == 0 || char.IsWhiteSpace(text[i - 1])) && (i + 1 >= text.Length || !char.IsAsciiDigit(text[i + 1]));
            if (c == ';' || slashes || hash) return text[..i];
        }

        return text;
    }
}
