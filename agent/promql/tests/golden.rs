//! Scripts of our own: every query must pass, with names removed at once and at the end.

use vedette_promql::EngineOptions;
use vedette_promql::script::run_script_with;

#[test]
fn every_script_passes() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    let (mut scripts, mut failures) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).expect("testdata") {
        let path = entry.expect("entry").path();
        let text = std::fs::read_to_string(&path).expect("a script");
        for delayed_name_removal in [false, true] {
            let options = EngineOptions {
                delayed_name_removal,
                use_start_timestamps: true,
                ..EngineOptions::default()
            };
            let report = run_script_with(&path.display().to_string(), &text, options);
            failures.extend(report.failures.iter().map(|failure| format!("{}:{failure:#?}", report.name)));
            assert!(report.passed > 0, "{} asks nothing", report.name);
        }
        scripts += 1;
    }
    assert!(scripts > 0);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
