// SPDX-License-Identifier: Apache-2.0
import { Gallery } from "./gallery";

/** Every panel state side by side. Exists in development builds only (see `pageExtensions`). */
export default function GalleryPage() {
  return <Gallery />;
}
