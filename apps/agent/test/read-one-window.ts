// SPDX-License-Identifier: Apache-2.0
/**
 * Opens the kernel source, waits for a line on stdin, reads one window and prints it as JSON; bigints become strings.
 * Started by privileges.kernel.test.ts as an ordinary user. Argument: the folder of the BPF objects.
 */
import { once } from "node:events";
import { hostSignals } from "@waggle/signals";
import { KernelSource } from "../src/snapshot/window-reader.ts";

const TRIES = 20;

using source = await KernelSource.open({
  objectDirectory: process.argv[2] as string,
  names: { unitOf: () => "" },
  rowsMax: 20_000,
  rowCaps: () => 20_000,
  // Waits are counted each, however many there are on the machine.
  constants: { on_sched_switch: { off_cpu_exact_bits: 63 } },
});
const frames = [...((await source.readWindow()).rows.get("stack_frames") ?? [])];
process.stdout.write("ready\n");
await once(process.stdin, "data");
const window = await source.readWindow();
frames.push(...(window.rows.get("stack_frames") ?? []));
// Frames may come with a later window than the rows that name them: on a busy machine those of others come first.
const stacks = new Set(["cpu_profile", "off_cpu"].flatMap((signal) => (window.rows.get(signal) ?? []).map(({ stack }) => stack)));
for (let tries = 0; tries < TRIES; tries++) {
  const named = new Set(frames.map(({ stack }) => stack));
  if ([...stacks].every((stack) => named.has(stack))) break;
  frames.push(...((await source.readWindow()).rows.get("stack_frames") ?? []));
}
const text = JSON.stringify(
  {
    uid: process.getuid?.(),
    programs: source.programs(),
    window: { ...window, rows: { ...Object.fromEntries(hostSignals.map(({ name }) => [name, window.rows.get(name)])), stack_frames: frames } },
  },
  (_, value) => (typeof value === "bigint" ? value.toString() : value),
);
process.stdout.write(`${text}\n`);
process.stdin.destroy();
