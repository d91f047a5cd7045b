//! Columns as Go's `text/tabwriter` lays them out, which amtool prints with: a tab ends a cell, and cells that
//! stand below each other without a gap form a column of one width.

/// Blanks behind the widest cell of a column.
const PADDING: usize = 2;

/// Lays out a text of lines with tabs.
pub(super) fn laid_out(text: &str) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<Vec<&str>> = body.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut out = String::with_capacity(text.len() * 2);
    block(&lines, &mut Vec::new(), &mut out);
    out
}

/// Lines whose first columns have these widths.
fn block(lines: &[Vec<&str>], widths: &mut Vec<usize>, out: &mut String) {
    let column = widths.len();
    // The last cell of a line is not ended by a tab and belongs to no column.
    let has = |line: &Vec<&str>| column + 1 < line.len();
    let mut rest = lines;
    while let Some(start) = rest.iter().position(has) {
        let (before, from) = rest.split_at(start);
        write(before, widths, out);
        let end = from.iter().position(|line| !has(line)).unwrap_or(from.len());
        let (here, after) = from.split_at(end);
        let widest = here.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        widths.push(widest + PADDING);
        block(here, widths, out);
        widths.pop();
        rest = after;
    }
    write(rest, widths, out);
}

fn write(lines: &[Vec<&str>], widths: &[usize], out: &mut String) {
    for line in lines {
        for (at, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if let Some(width) = widths.get(at) {
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        for (text, want) in [
            ("a\tb\t\nlong\tc\t\n", "a     b  \nlong  c  \n"),
            ("a\tb\t\nü\t\t\n", "a  b  \nü     \n"),
            (
                "x:\tready\nname:\tn\n\nAddress\tName\n1:2\ta\t\n",
                "x:     ready\nname:  n\n\nAddress  Name\n1:2      a  \n",
            ),
            ("only\n", "only\n"),
            ("a\tb\nline\nlonger\tc\n", "a  b\nline\nlonger  c\n"),
        ] {
            assert_eq!(laid_out(text), want, "{text:?}");
        }
    }
}
