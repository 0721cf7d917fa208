//! Pods and their annotation for kernel modules, from Kubernetes' YAML or JSON, or from an OCI bundle's config.json.

use anyhow::{Result, anyhow, bail};
use serde_json::Value;

/// The annotation that both runtimes read. It counts only on the pod itself.
pub const ANNOTATION: &str = "io.katacontainers.config.agent.kernel_modules";

/// The places of a template of pods: in Deployments and the like, in CronJobs, in PodTemplates.
const TEMPLATES: [&str; 3] = ["/spec/template", "/spec/jobTemplate/spec/template", "/template"];

/// A pod, or a template of pods. Each pod becomes a VM.
#[derive(Debug)]
pub struct Pod {
    /// The name of its file.
    pub file: String,
    /// `Pod`, `Deployment`, …, or `OCI bundle`.
    pub kind: String,
    /// The name, if the document has one.
    pub name: Option<String>,
    /// The namespace, if the document names one.
    pub namespace: Option<String>,
    /// The value of the annotation.
    pub annotation: Option<String>,
    /// Whether the annotation also stands outside of the template, where Kata does not look.
    pub misplaced: bool,
}

impl Pod {
    /// `NAME`, or `NAMESPACE/NAME`.
    pub fn full_name(&self) -> String {
        let name = self.name.as_deref().unwrap_or("(without a name)");
        self.namespace.as_ref().map_or(name.to_string(), |namespace| format!("{namespace}/{name}"))
    }

    /// Whether `name` is the pod's name, with or without the namespace.
    pub fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name) || self.full_name() == name
    }
}

/// The pods of a file, in order. Other documents are ignored.
pub fn read(file: &str, text: &str) -> Result<Vec<Pod>> {
    let documents: Vec<Value> = match text.trim_start().starts_with('{') {
        true => vec![serde_json::from_str(text).map_err(|error| anyhow!("{file}: {error}"))?],
        false => serde_saphyr::from_multiple(text).map_err(|error| anyhow!("{file}: {}", error.without_snippet()))?,
    };
    let mut pods = Vec::new();
    documents.iter().try_for_each(|document| collect(file, document, &mut pods))?;
    Ok(pods)
}

/// Collects the pods of a document: the document itself, the items of a list, or its template.
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

/// Whether this is a template of pods. Other kinds of documents have other templates.
fn is_pod(template: &Value) -> bool {
    template.pointer("/spec/containers").is_some_and(Value::is_array)
}
