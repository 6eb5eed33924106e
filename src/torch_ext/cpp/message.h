// The text of a call's error.

#pragma once

#include <cstdio>

namespace metabert {

// Keeps a text for the calling thread until its next error, cut at 4 KiB. Not on the heap: an error that finds no
// memory for its text must not look like success.
inline const char *keep_message(const char *text) {
  static thread_local char kept[4096];
  std::snprintf(kept, sizeof kept, "%s", text);
  return kept;
}

}  // namespace metabert
