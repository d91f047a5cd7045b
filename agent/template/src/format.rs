//! Go's `fmt`: `printf` verbs and how operands are joined.

use crate::number::{fixed, general, scientific};
use crate::value::Value;

/// Longest text that one `printf` may give.
const TEXT_MAX: usize = 1 << 20;
/// Widest field and most digits; more are cut to this.
const WIDTH_MAX: usize = 50_000;

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprint`: a space between operands when neither is a text.
pub(crate) fn print(args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    for (at, arg) in args.iter().enumerate() {
        let text = |value: &Value| value.as_text().is_some();
        if at > 0 && !text(arg) && !text(&args[at - 1]) {
            out.push(' ');
        }
        out.push_str(&operand(arg)?);
        if out.len() > TEXT_MAX {
            return Err(too_long("print"));
        }
    }
    Ok(out)
}

/// `fmt.Sprintln`.
pub(crate) fn print_line(args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(&operand(arg)?);
        if out.len() > TEXT_MAX {
            return Err(too_long("println"));
        }
    }
    out.push('\n');
    Ok(out)
}

fn operand(value: &Value) -> Result<String, String> {
    match value {
        Value::Nil => Ok("<nil>".to_owned()),
        other => shown(other),
    }
}

fn shown(value: &Value) -> Result<String, String> {
    value.show(TEXT_MAX).map_err(|_| too_long("print"))
}

fn too_long(function: &str) -> String {
    format!("{function}: a text over {TEXT_MAX} bytes")
}

/// `fmt.Sprintf`.
///
/// # Errors
/// When the text would be over a mebibyte.
pub(crate) fn printf(format: &str, args: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut cursor = Cursor { args, next: 0, reordered: false };
    while let Some(char) = chars.next() {
        if out.len() > TEXT_MAX {
            return Err(too_long("printf"));
        }
        if char != '%' {
            out.push(char);
            continue;
        }
        let flags = match read_flags(&mut chars, &mut cursor) {
            Ok(flags) => flags,
            Err(what) => {
                out.push_str(what);
                continue;
            }
        };
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match cursor.take() {
                Some(value) => out.push_str(&formatted(value, verb, flags)?),
                None => {
                    let what = if cursor.reordered { "BADINDEX" } else { "MISSING" };
                    out.push_str(&format!("%!{verb}({what})"));
                }
            },
        }
    }
    if !cursor.reordered && cursor.next < args.len() {
        let extra: Result<Vec<_>, _> = args[cursor.next..].iter().map(typed).collect();
        out.push_str(&format!("%!(EXTRA {})", extra?.join(", ")));
    }
    Ok(out)
}

struct Cursor<'a> {
    args: &'a [Value],
    next: usize,
    reordered: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self) -> Option<&'a Value> {
        let value = self.args.get(self.next);
        self.next += 1;
        value
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn read_flags(chars: &mut Chars<'_>, cursor: &mut Cursor<'_>) -> Result<Flags, &'static str> {
    let mut flags = Flags::default();
    while let Some(char) = chars.peek() {
        match char {
            '-' => flags.minus = true,
            '+' => flags.plus = true,
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            '0' => flags.zero = true,
            _ => break,
        }
        chars.next();
    }
    read_index(chars, cursor);
    let width = read_size(chars, cursor, "%!(BADWIDTH)")?;
    if let Some(width) = width {
        flags.minus |= width < 0;
        flags.width = Some(usize::try_from(width.unsigned_abs()).unwrap_or(WIDTH_MAX).min(WIDTH_MAX));
    }
    if chars.peek() == Some(&'.') {
        chars.next();
        read_index(chars, cursor);
        let precision = read_size(chars, cursor, "%!(BADPREC)")?.unwrap_or(0);
        flags.precision = usize::try_from(precision).ok().map(|precision| precision.min(WIDTH_MAX));
    }
    read_index(chars, cursor);
    Ok(flags)
}

/// `[3]`: which argument comes next, from 1.
fn read_index(chars: &mut Chars<'_>, cursor: &mut Cursor<'_>) {
    if chars.peek() != Some(&'[') {
        return;
    }
    chars.next();
    let mut number = 0usize;
    for char in chars.by_ref() {
        match char.to_digit(10) {
            Some(digit) => number = number.saturating_mul(10).saturating_add(digit as usize),
            None => break,
        }
    }
    cursor.reordered = true;
    cursor.next = number.checked_sub(1).unwrap_or(usize::MAX - 1);
}

fn read_size(
    chars: &mut Chars<'_>,
    cursor: &mut Cursor<'_>,
    bad: &'static str,
) -> Result<Option<i64>, &'static str> {
    if chars.peek() == Some(&'*') {
        chars.next();
        return match cursor.take() {
            Some(Value::Int(size)) => Ok(Some(*size)),
            _ => Err(bad),
        };
    }
    let mut size: Option<i64> = None;
    while let Some(digit) = chars.peek().and_then(|char| char.to_digit(10)) {
        size = Some((size.unwrap_or(0) * 10 + i64::from(digit)).min(1_000_000_000));
        chars.next();
    }
    Ok(size)
}

/// `string=text`, for complaints.
fn typed(value: &Value) -> Result<String, String> {
    match value {
        Value::Nil => Ok("<nil>".to_owned()),
        other => Ok(format!("{}={}", other.type_name(), shown(other)?)),
    }
}

fn formatted(value: &Value, verb: char, flags: Flags) -> Result<String, String> {
    Ok(match (value, verb) {
        (_, 'T') => padded(value.type_name(), flags),
        (Value::Nil, 'v') => padded("<nil>", flags),
        (Value::Int(_), 'v') => whole(value, 'd', flags),
        (Value::Float(number), 'v') => float(*number, 'g', flags),
        (Value::Text(text), 'v') if flags.sharp => padded(&quoted(text), flags),
        (other, 'v') => padded(&shown(other)?, flags),
        (Value::Bool(value), 't') => padded(if *value { "true" } else { "false" }, flags),
        (Value::Int(_) | Value::Duration(_), 'd' | 'b' | 'o' | 'O' | 'x' | 'X' | 'c' | 'q' | 'U') => {
            whole(value, verb, flags)
        }
        (Value::Float(number), 'e' | 'E' | 'f' | 'F' | 'g' | 'G') => float(*number, verb, flags),
        (Value::List(items), _) => list(items, verb, flags)?,
        (
            Value::Text(_)
            | Value::Html(_)
            | Value::Url(_)
            | Value::Object(_)
            | Value::Time(_)
            | Value::Duration(_),
            's' | 'q' | 'x' | 'X',
        ) => text(&shown(value)?, verb, flags),
        (Value::Map(_), 's') => padded(&shown(value)?, flags),
        (Value::Nil, _) => format!("%!{verb}(<nil>)"),
        _ => format!("%!{verb}({})", typed(value)?),
    })
}

fn list(items: &[Value], verb: char, flags: Flags) -> Result<String, String> {
    let mut out = String::from("[");
    for (at, item) in items.iter().enumerate() {
        out.push_str(if at > 0 { " " } else { "" });
        out.push_str(&formatted(item, verb, flags)?);
        if out.len() > TEXT_MAX {
            return Err(too_long("printf"));
        }
    }
    out.push(']');
    Ok(out)
}

fn text(text: &str, verb: char, flags: Flags) -> String {
    let cut: String = match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match verb {
        'q' if flags.sharp && !cut.contains('`') => padded(&format!("`{cut}`"), flags),
        'q' => padded(&quoted(&cut), flags),
        'x' => padded(&cut.bytes().map(|byte| format!("{byte:02x}")).collect::<String>(), flags),
        'X' => padded(&cut.bytes().map(|byte| format!("{byte:02X}")).collect::<String>(), flags),
        _ => padded(&cut, flags),
    }
}

/// A text in double quotes with Go's escapes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            control if control.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(control))),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn whole(value: &Value, verb: char, flags: Flags) -> String {
    let (Value::Int(number) | Value::Duration(number)) = value else { return String::new() };
    let size = number.unsigned_abs();
    let code = || u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let digits = match verb {
        'c' => return padded(&code().to_string(), flags),
        'q' => return padded(&format!("'{}'", code().escape_default()), flags),
        'U' => return padded(&format!("U+{size:04X}"), flags),
        'b' => format!("{}{size:b}", if flags.sharp { "0b" } else { "" }),
        'o' => format!("{}{size:o}", if flags.sharp { "0" } else { "" }),
        'O' => format!("0o{size:o}"),
        'x' => format!("{}{size:x}", if flags.sharp { "0x" } else { "" }),
        'X' => format!("{}{size:X}", if flags.sharp { "0X" } else { "" }),
        _ => size.to_string(),
    };
    let digits = match flags.precision {
        Some(0) if size == 0 => String::new(),
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let flags = Flags { zero: flags.zero && flags.precision.is_none(), ..flags };
    signed(*number < 0, &digits, flags)
}

fn float(number: f64, verb: char, flags: Flags) -> String {
    let precision = flags.precision;
    let text = match verb {
        'e' | 'E' => scientific(number, Some(precision.unwrap_or(6))),
        'f' | 'F' => fixed(number, Some(precision.unwrap_or(6))),
        _ => general(number, precision),
    };
    let text = if verb.is_ascii_uppercase() && number.is_finite() { text.to_uppercase() } else { text };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if number.is_finite() {
        return signed(negative, digits, flags);
    }
    // Infinity always has its sign under %v, and neither it nor NaN is padded with zeros.
    let plus = flags.plus || (number == f64::INFINITY && !flags.space);
    signed(negative, digits, Flags { zero: false, plus: plus && !number.is_nan(), ..flags })
}

fn signed(negative: bool, digits: &str, flags: Flags) -> String {
    let sign = match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    if flags.zero && !flags.minus {
        let width = flags.width.unwrap_or(0).saturating_sub(sign.len());
        return format!("{sign}{digits:0>width$}");
    }
    padded(&format!("{sign}{digits}"), Flags { zero: false, ..flags })
}

fn padded(text: &str, flags: Flags) -> String {
    let width = flags.width.unwrap_or(0);
    if flags.minus {
        format!("{text:<width$}")
    } else if flags.zero {
        format!("{text:0>width$}")
    } else {
        format!("{text:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_print_as_gos() {
        let (text, int, float) = (Value::text("ab"), Value::Int(-7), Value::Float(2.5));
        for (format, args, printed) in [
            ("%s|%5s|%-5s|%q", vec![text.clone(); 4], r#"ab|   ab|ab   |"ab""#),
            ("%d|%04d|%+d", vec![int.clone(), int.clone(), Value::Int(3)], "-7|-007|+3"),
            ("%.1f|%8.3f|%e|%g", vec![float.clone(); 4], "2.5|   2.500|2.500000e+00|2.5"),
            ("%v %v %v", vec![Value::Float(1e6), Value::Nil, Value::Bool(true)], "1e+06 <nil> true"),
            ("%d", vec![float.clone()], "%!d(float64=2.5)"),
            ("%s %s", vec![text.clone()], "ab %!s(MISSING)"),
            ("a", vec![text.clone(), int.clone()], "a%!(EXTRA string=ab, int=-7)"),
            ("%[2]s %[1]s", vec![Value::text("x"), Value::text("y")], "y x"),
            ("%x %X", vec![text.clone(), Value::Int(255)], "6162 FF"),
            ("100%% %", vec![], "100% %!(NOVERB)"),
            ("%*d", vec![Value::Int(4), Value::Int(1)], "   1"),
            ("%T %T", vec![text.clone(), float.clone()], "string float64"),
            ("%.3s", vec![Value::text("abcdef")], "abc"),
            ("%t", vec![Value::Bool(false)], "false"),
            ("%05.1f", vec![Value::Float(-2.25)], "-02.2"),
            ("%v", vec![Value::Float(f64::INFINITY)], "+Inf"),
        ] {
            assert_eq!(printf(format, &args).as_deref(), Ok(printed), "{format}");
        }
    }

    #[test]
    fn a_huge_text_is_refused() {
        assert!(printf(&"%1000000d".repeat(30), &vec![Value::Int(1); 30]).is_err());
    }

    #[test]
    fn operands_are_joined_as_gos() {
        let args = [Value::Int(1), Value::Int(2), Value::text("a"), Value::Int(3)];
        assert_eq!(print(&args).as_deref(), Ok("1 2a3"));
        assert_eq!(print_line(&args).as_deref(), Ok("1 2 a 3\n"));
    }
}
