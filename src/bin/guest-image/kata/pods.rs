//! Pods, and their annotation for kernel modules: from Kubernetes' YAML or JSON, or an OCI bundle's config.json.

use anyhow::{Result, anyhow, bail};
use serde_json::Value;

/// The annotation that both runtimes read, on the pod itself.
pub const ANNOTATION: &str = "io.katacontainers.config.agent.kernel_modules";

/// Where a document has the pods' template: Deployments and their like, CronJobs, PodTemplates.
const TEMPLATES: [&str; 3] = ["/spec/template", "/spec/jobTemplate/spec/template", "/template"];

/// What becomes one VM, or many alike.
#[derive(Debug)]
pub struct Pod {
    /// The file that it is from.
    pub file: String,
    /// `Pod`, `Deployment`, …, or `OCI bundle`.
    pub kind: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its namespace, if it names one.
    pub namespace: Option<String>,
    /// The annotation's value.
    pub annotation: Option<String>,
    /// Where the annotation stands too, and nobody looks.
    pub misplaced: bool,
}

impl Pod {
    /// `NAME`, or `NAMESPACE/NAME`.
    pub fn full_name(&self) -> String {
        let name = self.name.as_deref().unwrap_or("(without a name)");
        self.namespace.as_ref().map_or(name.to_string(), |namespace| format!("{namespace}/{name}"))
    }

    /// Whether `name` is its name, with or without its namespace.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name) || self.full_name() == name
    }
}

/// The pods of a file, in order. What is no pod is passed over.
pub fn read(file: &str, text: &str) -> Result<Vec<Pod>> {
    let documents: Vec<Value> = match text.trim_start().starts_with('{') {
        true => vec![serde_json::from_str(text).map_err(|error| anyhow!("{file}: {error}"))?],
        false => serde_saphyr::from_multiple(text).map_err(|error| anyhow!("{file}: {}", error.without_snippet()))?,
    };
    let mut pods = Vec::new();
    documents.iter().try_for_each(|document| collect(file, document, &mut pods))?;
    Ok(pods)
}

/// The pods of a document: itself, those of a list, or the one that it is a template for.
fn collect(file: &str, document: &Value, pods: &mut Vec<Pod>) -> Result<()> {
    if let Some(items) = document.get("items").and_then(Value::as_array) {
        return items.iter().try_for_each(|item| collect(file, item, pods));
    }
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
    let template = || TEMPLATES.iter().filter_map(|path| document.pointer(path)).find(|it| is_pod(it));
    let (kind, holder) = if document.get("ociVersion").is_some() {
        ("OCI bundle", document)
    } else if kind == "Pod" {
        (kind, document.get("metadata").unwrap_or(&Value::Null))
    } else if let Some(template) = template() {
        (kind, template.get("metadata").unwrap_or(&Value::Null))
    } else {
        return Ok(());
    };
    let text = |key| document.pointer(key).and_then(Value::as_str).map(str::to_string);
    let mut pod = Pod {
        file: file.to_string(),
        kind: kind.to_string(),
        name: text("/metadata/name").or_else(|| text("/metadata/generateName")),
        namespace: text("/metadata/namespace"),
        annotation: None,
        misplaced: false,
    };
    pod.annotation = match holder.get("annotations").and_then(|annotations| annotations.get(ANNOTATION)) {
        None => None,
        Some(Value::String(value)) => Some(value.clone()),
        Some(other) => bail!("{file}: {kind} {}: {ANNOTATION} is {other}, and not a string: quote it", pod.full_name()),
    };
    let own = document.pointer("/metadata/annotations").and_then(|annotations| annotations.get(ANNOTATION));
    pod.misplaced = kind != "Pod" && own.is_some();
    pods.push(pod);
    Ok(())
}

/// Whether this is a pod's template, and not what another kind of document calls so.
fn is_pod(template: &Value) -> bool {
    template.pointer("/spec/containers").is_some_and(Value::is_array)
}
