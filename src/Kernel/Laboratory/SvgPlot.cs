using System.Globalization;
using System.Net;
using System.Text;

namespace BpfSim.Kernel.Laboratory;

/// <summary>Small plots as inline SVG: lines over a numeric axis, and bars.</summary>
internal static class SvgPlot
{
    private const double Width = 460, Height = 280, Left = 62, Right = 12, Top = 34, Bottom = 46;
    private static readonly string[] s_colours = ["#2f6fb0", "#c6762c", "#4b8b3b", "#a33b5e", "#6a55a3", "#57757a"];

    /// <summary>Lines; <paramref name="evenly"/> spaces the x values alike, whatever they are.</summary>
    public static string Lines(string title, string xLabel, string yLabel, double[] xs, IReadOnlyList<(string Name, double[] Ys)> lines,
        bool logarithmic = false, bool evenly = false)
    {
        var svg = Begin(title, yLabel);
        var scale = new Scale(lines.SelectMany(l => l.Ys), logarithmic);
        AppendAxis(svg, scale);
        double X(int i) => xs.Length == 1 ? (Left + Width - Right) / 2
            : Left + ((Width - Left - Right) * (evenly ? i / (xs.Length - 1.0) : (xs[i] - xs[0]) / (xs[^1] - xs[0])));
        for (var i = 0; i < xs.Length; i++)
            AppendText(svg, X(i), Height - Bottom + 16, evenly && xs[i] == 100 ? "max" : xs[i].ToString(CultureInfo.InvariantCulture), "middle");
        AppendText(svg, (Left + Width - Right) / 2, Height - 10, xLabel, "middle");
        for (var n = 0; n < lines.Count; n++)
        {
            var (name, ys) = lines[n];
            var colour = s_colours[n % s_colours.Length];
            svg.Append(CultureInfo.InvariantCulture, $"<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{(name == "ideal" ? " stroke-dasharray=\"4 4\"" : "")} points=\"");
            for (var i = 0; i < ys.Length; i++) svg.Append(CultureInfo.InvariantCulture, $"{X(i):0.#},{scale.Y(ys[i]):0.#} ");
            svg.Append("\"/>");
            for (var i = 0; i < ys.Length; i++) svg.Append(CultureInfo.InvariantCulture, $"<circle cx=\"{X(i):0.#}\" cy=\"{scale.Y(ys[i]):0.#}\" r=\"3\" fill=\"{colour}\"><title>{Text(name)}: {ys[i]:0.##}</title></circle>");
            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{Left + 8}\" y=\"{Top + (n * 15)}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
            AppendText(svg, Left + 22, Top + 9 + (n * 15), name, "start");
        }

        return svg.Append("</svg>").ToString();
    }

    /// <summary>Bars with their values above; names may have several lines.</summary>
    public static string Bars(string title, string yLabel, IReadOnlyList<(string Name, double Value)> bars)
    {
        var svg = Begin(title, yLabel);
        var scale = new Scale(bars.Select(b => b.Value), logarithmic: false);
        AppendAxis(svg, scale);
        var step = (Width - Left - Right) / bars.Count;
        for (var i = 0; i < bars.Count; i++)
        {
            var (x, y) = (Left + (i * step) + (step * 0.15), scale.Y(bars[i].Value));
            svg.Append(CultureInfo.InvariantCulture, $"<rect x=\"{x:0.#}\" y=\"{y:0.#}\" width=\"{step * 0.7:0.#}\" height=\"{Height - Bottom - y:0.#}\" fill=\"{s_colours[i % s_colours.Length]}\"/>");
            AppendText(svg, x + (step * 0.35), y - 4, bars[i].Value.ToString("0.##", CultureInfo.InvariantCulture), "middle");
            var words = bars[i].Name.Split('\n');
            for (var w = 0; w < words.Length; w++) AppendText(svg, x + (step * 0.35), Height - Bottom + 14 + (w * 13), words[w], "middle");
        }

        return svg.Append("</svg>").ToString();
    }

    private static StringBuilder Begin(string title, string yLabel)
    {
        var svg = new StringBuilder();
        svg.Append(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{Height}\" role=\"img\"><title>{Text(title)}</title>");
        AppendText(svg, Left, 18, $"{title}, {yLabel}", "start");
        return svg;
    }

    private static void AppendAxis(StringBuilder svg, Scale scale)
    {
        foreach (var tick in scale.Ticks)
        {
            var y = scale.Y(tick);
            svg.Append(CultureInfo.InvariantCulture, $"<line x1=\"{Left}\" x2=\"{Width - Right}\" y1=\"{y:0.#}\" y2=\"{y:0.#}\" stroke=\"#e4e4e4\"/>");
            AppendText(svg, Left - 6, y + 4, tick.ToString(tick >= 10_000 ? "0.#e0" : "0.###", CultureInfo.InvariantCulture), "end");
        }
    }

    private static void AppendText(StringBuilder svg, double x, double y, string text, string anchor) =>
        svg.Append(CultureInfo.InvariantCulture, $"<text x=\"{x:0.#}\" y=\"{y:0.#}\" text-anchor=\"{anchor}\">{Text(text)}</text>");

    private static string Text(string text) => WebUtility.HtmlEncode(text);

    private sealed class Scale
    {
        private readonly double _low;
        private readonly double _high;
        private readonly bool _logarithmic;

        public Scale(IEnumerable<double> values, bool logarithmic)
        {
            _logarithmic = logarithmic;
            var highest = values.DefaultIfEmpty(1).Max();
            if (logarithmic)
            {
                (_low, _high) = (Math.Floor(Math.Log10(Math.Max(1, values.Min()))), Math.Ceiling(Math.Log10(Math.Max(10, highest))));
                if (_high <= _low) _high = _low + 1;
                Ticks = [.. Enumerable.Range((int)_low, (int)(_high - _low) + 1).Select(e => Math.Pow(10, e))];
                return;
            }

            var raw = highest <= 0 ? 1 : highest / 4;
            var unit = Math.Pow(10, Math.Floor(Math.Log10(raw)));
            var step = unit * (raw / unit <= 1 ? 1 : raw / unit <= 2 ? 2 : raw / unit <= 5 ? 5 : 10);
            _high = step * Math.Ceiling(Math.Max(highest, step) / step * 1.0001);
            Ticks = [.. Enumerable.Range(0, (int)Math.Round(_high / step) + 1).Select(i => i * step)];
        }

        public IReadOnlyList<double> Ticks { get; }

        public double Y(double value)
        {
            var at = _logarithmic ? Math.Log10(Math.Max(1, value)) : value;
            return Height - Bottom - ((at - _low) / (_high - _low) * (Height - Top - Bottom));
        }
    }
}
