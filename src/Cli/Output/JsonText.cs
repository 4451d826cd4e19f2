using System.Text;

namespace BpfSim.Cli.Output;

/// <summary>JSON as bpftool writes it: in one line, or with a line for each member and for each end of a list.</summary>
internal sealed class JsonText(bool pretty)
{
    private readonly StringBuilder _text = new();
    private int _depth;
    private bool _separate;

    /// <summary>Whether numbers that JSON does not know, as 0x2a, stand bare: only where people read.</summary>
    public bool IsPretty => pretty;

    /// <summary><c>{</c> or <c>[</c>.</summary>
    public void Begin(char bracket)
    {
        Separate();
        _text.Append(bracket);
        _depth++;
        _separate = false;
    }

    /// <summary><c>}</c> or <c>]</c>.</summary>
    public void End(char bracket)
    {
        _depth--;
        if (_separate) NewLine();
        _text.Append(bracket);
        _separate = true;
    }

    /// <summary>The name of what follows.</summary>
    public void Name(string name)
    {
        Separate();
        NewLine();
        Quote(name);
        _text.Append(pretty ? ": " : ":");
        _separate = false;
    }

    /// <summary>A value as it is: a number, true or false.</summary>
    public void Raw(string value)
    {
        Separate();
        _text.Append(value);
    }

    /// <summary>A value in quotes.</summary>
    public void String(string value)
    {
        Separate();
        Quote(value);
    }

    /// <inheritdoc/>
    public override string ToString() => _text.ToString();

    private void Separate()
    {
        if (_separate) _text.Append(',');
        _separate = true;
    }

    private void NewLine()
    {
        if (pretty) _text.Append('\n').Append(' ', 4 * _depth);
    }

    private void Quote(string value)
    {
        _text.Append('"');
        foreach (char c in value)
            _text.Append(c switch { '\t' => "\\t", '\n' => "\\n", '\r' => "\\r", '\f' => "\\f", '\b' => "\\b", '\\' => "\\\\", '"' => "\\\"", _ => c.ToString() });
        _text.Append('"');
    }
}
