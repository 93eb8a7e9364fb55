//! The map of manifests in `tags/list` of GCR and Artifact Registry (go-containerregistry, `pkg/v1/google/list.go`).

use serde_json::{Map, Value, json};

use super::super::RegistryService;

/// Artifact Registry lists no more.
const MANIFESTS_MAX: usize = 10_000;

impl RegistryService {
    pub(in super::super) fn map_of_manifests(&self, repository: &str) -> Value {
        let tagged = self.store.tagged(repository).unwrap_or_default();
        let mut map = Map::new();
        for (digest, manifest) in self.store.manifests(repository).into_iter().take(MANIFESTS_MAX) {
            let size = manifest.raw.len().to_string();
            let entry = json!({ "imageSizeBytes": size, "mediaType": manifest.media_type, "tag": [] });
            map.insert(digest.to_string(), entry);
        }
        for tag in tagged {
            if let Some(entry) = map.get_mut(tag.digest.as_str()) {
                let millis = tag.time.as_millisecond().to_string();
                entry["timeUploadedMs"] = millis.clone().into();
                entry["timeCreatedMs"] = millis.into();
                if let Some(tags) = entry["tag"].as_array_mut() {
                    tags.push(tag.name.into());
                }
            }
        }
        Value::Object(map)
    }
}
