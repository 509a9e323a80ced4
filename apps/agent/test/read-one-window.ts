// SPDX-License-Identifier: Apache-2.0
/**
 * Opens the kernel source, waits for a line on stdin, reads one window and prints it as JSON; bigints become strings.
 * Started by privileges.kernel.test.ts as an ordinary user. Argument: the folder of the BPF objects.
 */
import { once } from "node:events";
import { hostSignals } from "@waggle/signals";
import { KernelSource } from "../src/snapshot/window-reader.ts";

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
// Frames may come with a later window than the rows that name them.
for (const rows of [window.rows, (await source.readWindow()).rows, (await source.readWindow()).rows])
  frames.push(...(rows.get("stack_frames") ?? []));
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
