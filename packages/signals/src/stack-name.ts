// SPDX-License-Identifier: Apache-2.0
import { hash } from "node:crypto";

/**
 * 16 hex digits that name a stack: the same for the same frames on every host.
 * @param frames as in `stack_frames`, the whole of them even where the wire takes less
 */
export function stackName(frames: string): string {
  return hash("sha256", frames, "hex").slice(0, 16);
}
