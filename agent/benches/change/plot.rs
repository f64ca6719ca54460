//! Cost against size as an SVG: both axes logarithmic, a panel for each cost.

use std::fmt::Write as _;

use crate::figures::Figures;
use crate::table::thousands;

const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 190.0;
const COLUMNS: usize = 3;
/// Room for the title above, the sizes below and the costs to the left of a panel.
const MARGIN: (f64, f64, f64) = (34.0, 26.0, 52.0);

/// Colours that can be told apart on white and on black, and by the shape of their points.
const STYLE: &str = "svg{--ink:#24292f;--faint:#d0d7de;--ours:#0969da;--theirs:#bc4c00;--paper:#fff}\
@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--faint:#30363d;--ours:#58a6ff;--theirs:#f0883e;--paper:#0d1117}}\
text{fill:var(--ink)}.grid{stroke:var(--faint)}.ours{stroke:var(--ours)}.theirs{stroke:var(--theirs);stroke-dasharray:6 4}\
.line{fill:none;stroke-width:2}.dot{fill:var(--ours)}.box{fill:var(--theirs)}.goal{stroke:var(--ink);stroke-dasharray:2 3}\
.paper{fill:var(--paper)}.title{font-weight:bold}";

struct Panel {
    title: &'static str,
    /// Least and greatest cost shown, as powers of ten.
    decades: (i32, i32),
    label: fn(f64) -> String,
    goal: f64,
    /// Lightning Stream's, by size.
    theirs: [(f64, f64); 2],
    ours: fn(&Figures) -> f64,
}

const PANELS: [Panel; 6] = [
    Panel {
        title: "bytes into the bucket",
        decades: (2, 8),
        label: bytes,
        goal: 1000.0,
        theirs: [(1e5, 1_305_000.0), (1e6, 13_055_000.0)],
        ours: |f| f.peers.bytes_each(),
    },
    Panel {
        title: "CPU on the sender",
        decades: (-1, 3),
        label: time,
        goal: 2.0,
        theirs: [(1e5, 39.0), (1e6, 305.0)],
        ours: |f| f.peers.sender_each(),
    },
    Panel {
        title: "CPU on a receiver",
        decades: (-1, 3),
        label: time,
        goal: 2.0,
        theirs: [(1e5, 63.0), (1e6, 493.0)],
        ours: |f| f.peers.receiver_each(),
    },
    Panel {
        title: "write lock on a receiver",
        decades: (-1, 3),
        label: time,
        goal: 5.0,
        theirs: [(1e5, 33.0), (1e6, 301.0)],
        ours: |f| f.peers.longest_lock,
    },
    Panel {
        title: "until answered elsewhere (median)",
        decades: (0, 4),
        label: time,
        goal: 25.0,
        theirs: [(1e5, 1500.0), (1e6, 2200.0)],
        ours: |f| f.peers.delays.median,
    },
    Panel {
        title: "memory of a receiver",
        decades: (6, 9),
        label: bytes,
        goal: 67_108_864.0,
        theirs: [(1e5, 56e6), (1e6, 432e6)],
        ours: |f| f.memory_receiver as f64,
    },
];

fn bytes(value: f64) -> String {
    match value {
        ..1e3 => format!("{value:.0} B"),
        1e3..1e6 => format!("{:.0} kB", value / 1e3),
        1e6..1e9 => format!("{:.0} MB", value / 1e6),
        _ => format!("{:.0} GB", value / 1e9),
    }
}

fn time(value: f64) -> String {
    match value {
        ..1.0 => format!("{:.0} µs", value * 1e3),
        1.0..1e3 => format!("{value:.0} ms"),
        _ => format!("{:.0} s", value / 1e3),
    }
}

impl Panel {
    fn x(size: f64) -> f64 {
        MARGIN.2 + (size.log10() - 3.8) / (6.2 - 3.8) * (WIDTH - MARGIN.2 - 10.0)
    }

    fn y(&self, cost: f64) -> f64 {
        let (least, greatest) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let share = (cost.log10().clamp(least, greatest) - least) / (greatest - least);
        HEIGHT - MARGIN.1 - share * (HEIGHT - MARGIN.0 - MARGIN.1)
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let points: Vec<_> = points
            .iter()
            .map(|(size, cost)| format!("{:.1},{:.1}", Self::x(*size), self.y(*cost)))
            .collect();
        points.join(" ")
    }

    fn draw(&self, all: &[Figures]) -> String {
        let mut svg = format!(
            "<text class=\"title\" x=\"{}\" y=\"20\">{}</text>\n",
            MARGIN.2, self.title
        );
        for decade in self.decades.0..=self.decades.1 {
            let cost = 10_f64.powi(decade);
            let (y, label) = (self.y(cost), (self.label)(cost));
            let (left, right) = (MARGIN.2, WIDTH - 10.0);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 6.0,
                y + 4.0
            );
        }
        for size in [10_000, 100_000, 1_000_000] {
            let (x, y) = (Self::x(f64::from(size)), HEIGHT - 8.0);
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                thousands(size)
            );
        }
        let ours: Vec<_> = all
            .iter()
            .map(|f| (f64::from(f.records), (self.ours)(f)))
            .collect();
        let _ = writeln!(
            svg,
            "<path class=\"goal\" d=\"M{} {y:.1}H{}\"/><polyline class=\"line theirs\" points=\"{}\"/>\
             <polyline class=\"line ours\" points=\"{}\"/>",
            MARGIN.2,
            WIDTH - 10.0,
            self.path(&self.theirs),
            self.path(&ours),
            y = self.y(self.goal),
        );
        for (size, cost) in self.theirs {
            let (x, y) = (Self::x(size) - 3.5, self.y(cost) - 3.5);
            let _ = write!(
                svg,
                "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"7\" height=\"7\"/>"
            );
        }
        for (size, cost) in ours {
            let (x, y) = (Self::x(size), self.y(cost));
            let _ = write!(svg, "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
        }
        svg
    }
}

pub(crate) fn plot(all: &[Figures]) -> String {
    let rows = PANELS.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64 + 34.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, sans-serif\" \
         font-size=\"11\" role=\"img\" aria-label=\"What one changed record costs with 10,000, 100,000 and 1,000,000 records: \
         Zonetide's lines are flat, Lightning Stream's rise with the size\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    for (number, panel) in PANELS.iter().enumerate() {
        let (x, y) = (
            (number % COLUMNS) as f64 * WIDTH,
            (number / COLUMNS) as f64 * HEIGHT,
        );
        let _ = writeln!(
            svg,
            "<g transform=\"translate({x} {y})\">\n{}</g>",
            panel.draw(all)
        );
    }
    let y = HEIGHT * rows as f64 + 16.0;
    let _ = writeln!(
        svg,
        "<g transform=\"translate({} {y})\"><path class=\"line ours\" d=\"M0 0H34\"/><circle class=\"dot\" cx=\"17\" r=\"4\"/>\
         <text x=\"42\" y=\"4\">Zonetide</text><path class=\"line theirs\" d=\"M120 0H154\"/>\
         <rect class=\"box\" x=\"133.5\" y=\"-3.5\" width=\"7\" height=\"7\"/><text x=\"162\" y=\"4\">Lightning Stream</text>\
         <path class=\"goal\" d=\"M280 0H314\"/><text x=\"322\" y=\"4\">goal</text>\
         <text x=\"380\" y=\"4\">across: records in the database; upwards: cost of one changed record</text></g>\n</svg>",
        MARGIN.2
    );
    svg
}
