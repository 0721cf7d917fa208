//! The picture: horizontal bars, each with its name and its number.

use std::path::Path;

use svg::Document;
use svg::node::element::{Group, Rectangle, Style, Text};

use crate::way::Way;

/// Bars with a common scale and a title.
pub struct Chart {
    title: &'static str,
    /// The decimal places of the numbers.
    places: usize,
    bars: Vec<(Way, f64)>,
}

impl Chart {
    /// A chart of the ways that have a value.
    pub fn of<'a>(title: &'static str, places: usize, values: impl Iterator<Item = (&'a Way, Option<f64>)>) -> Self {
        Self { title, places, bars: values.filter_map(|(way, value)| Some((*way, value?))).collect() }
    }
}

/// The widths of the picture and of its columns, and the heights of a row and of a bar, in pixels.
const WIDTH: usize = 720;
const NAMES: usize = 170;
const NUMBERS: usize = 70;
const ROW: usize = 24;
const BAR: usize = 16;

/// Colours that are legible on light and on dark pages.
const STYLE: &str = "text { font: 13px sans-serif; fill: #57606a } .title { font-weight: bold }
.others { fill: #8c959f } .ours { fill: #1f6feb }
@media (prefers-color-scheme: dark) { text { fill: #adbac7 } }";

/// Writes the charts into one file, one below the other.
pub fn write(path: &Path, charts: &[Chart]) {
    let mut document = Document::new().add(Style::new(STYLE));
    let mut top = 0;
    for chart in charts {
        document = document.add(chart.draw().set("transform", format!("translate(0 {top})")));
        top += ROW * (chart.bars.len() + 2);
    }
    svg::save(path, &document.set("viewBox", (0, 0, WIDTH, top))).expect("the picture can be written");
}

impl Chart {
    fn draw(&self) -> Group {
        let most = self.bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let title = text(self.title, 0, ROW - 6).set("class", "title");
        self.bars.iter().zip(1..).fold(Group::new().add(title), |group, ((way, value), row)| {
            let (top, length) = (row * ROW, (WIDTH - NAMES - NUMBERS) as f64 * value / most);
            let rectangle = Rectangle::new().set("x", NAMES).set("y", top + (ROW - BAR) / 2);
            let rectangle = rectangle.set("width", format!("{:.1}", length.max(1.0))).set("height", BAR);
            let number = format!("{:.*}", self.places, value);
            group
                .add(text(way.name(), NAMES - 8, top + ROW - 8).set("text-anchor", "end"))
                .add(rectangle.set("class", if way.is_ours() { "ours" } else { "others" }))
                .add(text(&number, NAMES + length as usize + 6, top + ROW - 8))
        })
    }
}

fn text(content: &str, x: usize, y: usize) -> Text {
    Text::new(content).set("x", x).set("y", y)
}
