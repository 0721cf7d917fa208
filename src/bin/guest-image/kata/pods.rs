//! Pods and their annotations, from Kubernetes' YAML or JSON, from a sandbox of crictl, or from an OCI bundle's
//! config.json.

use anyhow::{Result, bail};
use serde_json::Value;

use super::annotation::KERNEL_PARAMS;
use super::syntax::Source;

/// The annotation that both runtimes read. It counts only on the pod itself.
pub const KERNEL_MODULES: &str = "io.katacontainers.config.agent.kernel_modules";

/// The places of a template of pods: in Deployments and the like, in CronJobs, in PodTemplates.
const TEMPLATES: [&str; 3] = ["/spec/template", "/spec/jobTemplate/spec/template", "/template"];

/// A pod, or a template of pods. Each pod becomes a VM.
#[derive(Debug)]
pub struct Pod {
    /// The name of its file.
    pub file: String,
    /// `Pod`, `Deployment`, …, `sandbox` or `OCI bundle`.
    pub kind: String,
    /// The name, if the document has one.
    pub name: Option<String>,
    /// The namespace, if the document names one.
    pub namespace: Option<String>,
    /// The value of [`KERNEL_MODULES`].
    pub kernel_modules: Option<String>,
    /// The value of [`KERNEL_PARAMS`].
    pub kernel_params: Option<String>,
    /// The place of the annotations, if [`KERNEL_MODULES`] stands outside of it, where Kata does not look.
    pub misplaced: Option<&'static str>,
}

/// The place of annotations in a document.
struct Holder<'a> {
    kind: &'a str,
    /// The object that has the annotations.
    object: &'a Value,
    /// The object's name in messages.
    place: &'static str,
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

    /// Reads a document that has annotations at `holder`.
    fn read(file: &str, document: &Value, holder: &Holder<'_>) -> Result<Self> {
        let text = |key| document.pointer(key).and_then(Value::as_str).map(str::to_string);
        let mut pod = Self {
            file: file.to_string(),
            kind: holder.kind.to_string(),
            name: text("/metadata/name").or_else(|| text("/metadata/generateName")),
            namespace: text("/metadata/namespace"),
            kernel_modules: None,
            kernel_params: None,
            misplaced: None,
        };
        let annotation = |key| match holder.object.get("annotations").and_then(|annotations| annotations.get(key)) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value.clone())),
            Some(other) => {
                let (kind, name) = (holder.kind, pod.full_name());
                bail!("{file}: {kind} {name}: {key} is {other}, and not a string: quote it")
            }
        };
        (pod.kernel_modules, pod.kernel_params) = (annotation(KERNEL_MODULES)?, annotation(KERNEL_PARAMS)?);
        let elsewhere = [Some(document), document.get("metadata")].into_iter().flatten();
        let mut elsewhere = elsewhere.filter(|object| !std::ptr::eq(*object, holder.object));
        let is_misplaced = elsewhere.any(has_kernel_modules);
        pod.misplaced = is_misplaced.then_some(holder.place);
        Ok(pod)
    }
}

/// The pods of a file, in order. Other documents are ignored.
pub fn read(source: Source<'_>) -> Result<Vec<Pod>> {
    let documents = match source.text.trim_start().starts_with('{') {
        true => vec![source.json()?],
        false => source.yaml()?,
    };
    let mut pods = Vec::new();
    documents.iter().try_for_each(|document| collect(source.title, document, &mut pods))?;
    Ok(pods)
}

/// Collects the pods of a document: the document itself, the items of a list, or its template.
fn collect(file: &str, document: &Value, pods: &mut Vec<Pod>) -> Result<()> {
    if let Some(items) = document.as_array().or_else(|| document.get("items")?.as_array()) {
        return items.iter().try_for_each(|item| collect(file, item, pods));
    }
    if let Some(holder) = holder(document) {
        pods.push(Pod::read(file, document, &holder)?);
    }
    Ok(())
}

/// The place of a pod's annotations in a document. `None`: the document makes no pod.
fn holder(document: &Value) -> Option<Holder<'_>> {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
    let template = || TEMPLATES.iter().filter_map(|path| document.pointer(path)).find(|it| is_pod(it));
    let at_the_top = |kind| Holder { kind, object: document, place: "the annotations at the top" };
    if document.get("ociVersion").is_some() {
        return Some(at_the_top("OCI bundle"));
    }
    if is_sandbox(document) {
        return Some(at_the_top("sandbox"));
    }
    if kind == "Pod" {
        return Some(Holder { kind, object: document.get("metadata").unwrap_or(&Value::Null), place: "metadata" });
    }
    let object = template()?.get("metadata").unwrap_or(&Value::Null);
    Some(Holder { kind, object, place: "the pod template" })
}

/// Whether a document is a sandbox as `crictl runp` takes it: a PodSandboxConfig of the Kubernetes CRI, which has no
/// kind. A container's configuration for crictl has an image.
fn is_sandbox(document: &Value) -> bool {
    let has = |key| document.get(key).is_some();
    document.pointer("/metadata/name").is_some() && !["kind", "spec", "image"].into_iter().any(has)
}

/// Whether this is a template of pods. Other kinds of documents have other templates.
fn is_pod(template: &Value) -> bool {
    template.pointer("/spec/containers").is_some_and(Value::is_array)
}

/// Whether the annotations of an object have [`KERNEL_MODULES`].
fn has_kernel_modules(object: &Value) -> bool {
    object.get("annotations").is_some_and(|annotations| annotations.get(KERNEL_MODULES).is_some())
}
