//! The usual forms against the generated encoder.

use proptest::prelude::*;
use prost::Message as _;
use proto::remote_write_1::{Label, Sample as Written, TimeSeries};

use super::*;

fn encoded(labels: Vec<Label>, samples: Vec<Written>) -> Vec<u8> {
    TimeSeries { labels, samples, ..TimeSeries::default() }.encode_to_vec()
}

proptest! {
    /// What senders write is told, and read as it was written.
    #[test]
    fn usual_forms_are_told(
        name in "[a-z_]{1,60}", text in "[a-z0-9./:-]{1,60}", value: u64,
        timestamp in 1i64 << 35..1 << 42, zero: bool,
    ) {
        let value = if zero { 0.0 } else { f64::from_bits(value) };
        let bytes = encoded(
            vec![Label { name: name.clone(), value: text.clone() }],
            vec![Written { value, timestamp }],
        );
        let length = label(&bytes);
        prop_assert_eq!(length, Some(6 + name.len() + text.len()));
        let rest = &bytes[length.unwrap_or_default()..];
        let expected = Sample { timestamp, bits: value.to_bits() };
        prop_assert_eq!(sample(rest), Some((expected, rest.len())));
        // Cut off anywhere it is nothing.
        prop_assert!((0..bytes.len() - rest.len()).all(|end| label(&bytes[..end]).is_none()));
        prop_assert!((0..rest.len()).all(|end| sample(&rest[..end]).is_none()));
    }

    /// Whatever else comes is left to the reader of fields.
    #[test]
    fn other_forms_are_not(long in "[a-z]{124,200}", timestamp in prop_oneof![-5i64..1 << 35, 1i64 << 42..i64::MAX]) {
        let bytes = encoded(vec![Label { name: long.clone(), value: "x".to_owned() }], Vec::new());
        prop_assert_eq!(label(&bytes), None);
        let bytes = encoded(Vec::new(), vec![Written { value: 1.0, timestamp }]);
        prop_assert_eq!(sample(&bytes), None);
    }
}
