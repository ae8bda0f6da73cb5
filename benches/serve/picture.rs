//! The picture of a run: CPU time a query, user and system, of every server.

use std::path::Path;

use plotters::prelude::*;

use crate::Row;

const USER: RGBColor = RGBColor(0x1b, 0x6c, 0xa8);
const SYSTEM: RGBColor = RGBColor(0xb8, 0xc4, 0xce);

/// Draws the rows as bars, one below the other.
pub(crate) fn draw(path: &Path, title: &str, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (760, 90 + 44 * rows.len() as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let longest = rows.iter().map(|row| row.user + row.system).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .set_label_area_size(LabelAreaPosition::Left, 76)
        .set_label_area_size(LabelAreaPosition::Bottom, 36)
        .build_cartesian_2d(0.0..longest * 1.3, 0.0..rows.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_label_formatter(&|nanoseconds| format!("{nanoseconds:.0}"))
        .x_desc("ns of CPU a query: in the program (dark) and in the kernel (light)")
        .label_style(("sans-serif", 12))
        .draw()?;
    for (place, row) in rows.iter().rev().enumerate() {
        let (low, high) = (place as f64 + 0.2, place as f64 + 0.8);
        let total = row.user + row.system;
        chart.draw_series([
            Rectangle::new([(0.0, low), (row.user, high)], USER.filled()),
            Rectangle::new([(row.user, low), (total, high)], SYSTEM.filled()),
        ])?;
        let text = format!(" {total:.0} ns, {:.2} of echo", row.to_echo);
        chart.draw_series([Text::new(text, (total, low + 0.45), ("sans-serif", 13))])?;
        let name = Text::new(row.name, (8, chart.backend_coord(&(0.0, low + 0.45)).1), ("sans-serif", 13));
        area.draw(&name)?;
    }
    area.present()?;
    Ok(())
}
