// SPDX-License-Identifier: Apache-2.0
import { stringBytesMaxOf } from "@waggle/signals";

/** Follows the name of a frame that is the kernel's, as flame graph tools expect it. */
export const KERNEL_MARK = "_[k]";
/** Stands for what was cut out of a stack that is too long for the wire. */
const CUT = "[…]";
const NAME_CHARACTERS_MAX = 200;

/** A frame's name as it may stand between separators: names come out of files that anyone may have written. */
export function frameName(name: string): string {
  const clean = name.replace(/[\p{Cc};]/gu, "_");
  return clean.length <= NAME_CHARACTERS_MAX ? clean : `${clean.slice(0, NAME_CHARACTERS_MAX)}…`;
}

/** A function of a module; a module alone where the function has no name. */
export function frameOf(functionName: string, module: string): string {
  if (functionName === "") return frameName(`[${module}]`);
  return module === "" ? frameName(functionName) : `${frameName(functionName)} ${frameName(`[${module}]`)}`;
}

/** Adds a frame to those of a stack, the outermost first; of a run of frames that nobody knows only one. */
export function addFrame(frames: string[], frame: string): void {
  if (frame !== UNKNOWN || frames[frames.length - 1] !== UNKNOWN) frames.push(frame);
}

/** The text of a stack out of its frames. */
export function joinFrames(frames: readonly string[]): string {
  return frames.join(";");
}

/** A frame at an address where nothing is mapped: the stack was walked without frame pointers. */
export const UNKNOWN = "[unknown]";

/** The text as the wire takes it: frames in the middle give way, the ends say what it is about. */
export function cutFrames(text: string, bytesMax: number = stringBytesMaxOf("frames")): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  const frames = text.split(";");
  const room = bytesMax - Buffer.byteLength(CUT) - 2;
  const take = (from: readonly string[], bytes: number): number => {
    let used = 0;
    let count = 0;
    for (const frame of from) {
      used += Buffer.byteLength(frame) + 1;
      if (used > bytes) break;
      count++;
    }
    return count;
  };
  const head = take(frames, room / 2);
  const tail = take(frames.toReversed(), room / 2);
  return [...frames.slice(0, head), CUT, ...frames.slice(frames.length - tail)].join(";");
}
