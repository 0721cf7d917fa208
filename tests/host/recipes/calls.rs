//! The calls of programs that are not run, against the options that these programs document: `options.toml`.

use toml::Table;

/// Asserts that each call has only options that its program has, and values for those that take one.
pub fn check(calls: &[Vec<String>]) {
    let programs: Table = toml::from_str(include_str!("options.toml")).unwrap();
    for call in calls {
        let (program, arguments) = call.split_first().unwrap();
        let options = programs[program].as_table().unwrap();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                break;
            }
            let name = argument.strip_prefix("--").unwrap_or_else(|| panic!("{program}: {argument} is no option"));
            let kind = options.get(name).unwrap_or_else(|| panic!("{program} has no option --{name}"));
            if kind.as_str() == Some("+") {
                let value = rest.next().is_some_and(|value| !value.starts_with("--"));
                assert!(value, "{program}: --{name} needs a value");
            }
        }
    }
}

#[test]
#[should_panic(expected = "cloud-hypervisor has no option --initrd")]
fn a_misspelt_option_is_found() {
    check(&[["cloud-hypervisor", "--initrd", "x"].map(String::from).to_vec()]);
}
