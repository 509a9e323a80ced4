// SPDX-License-Identifier: Apache-2.0
"use client";

import { Popover } from "@base-ui/react/popover";
import { formatRange } from "@waggle/units";
import { type FormEvent, useState } from "react";
import { serverNow } from "@/lib/api/client";
import { PRESETS, parseTypedRange, rangeLabel } from "@/lib/time-range";
import { useView } from "@/lib/view";
import styles from "./controls.module.css";
import floating from "./floating.module.css";
import { Segments } from "./segments";

export function RangePicker() {
  const view = useView();
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState(false);
  const label = rangeLabel(view.text);
  const clock = formatRange(view.range.fromMs, view.range.toMs, view.zone);

  function apply(event: FormEvent): void {
    event.preventDefault();
    const range = parseTypedRange(typed, serverNow(), view.zone);
    if (!range) {
      setWrong(true);
      return;
    }
    view.setRange(range);
    setTyped("");
    setOpen(false);
  }

  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger className={styles["control"]}>
        <span className="visually-hidden">Time range: </span>
        {label ?? clock}
        {label && <span className={styles["quiet"]}>{clock}</span>}
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner className={floating["positioner"]} sideOffset={6} align="end">
          <Popover.Popup className={`${floating["popup"]} ${styles["picker"]}`} aria-label="Time range">
            <div className={styles["presets"]}>
              {PRESETS.map((preset) => (
                <button
                  key={preset.text}
                  type="button"
                  className={floating["item"]}
                  aria-pressed={view.text.from === preset.text && view.text.to === "now"}
                  onClick={() => {
                    view.setRange({ from: preset.text, to: "now" });
                    setOpen(false);
                  }}
                >
                  {preset.label}
                </button>
              ))}
            </div>
            <form className={styles["typed"]} onSubmit={apply}>
              <label className="visually-hidden" htmlFor="typed-range">
                Other range
              </label>
              <input
                id="typed-range"
                className={styles["typedInput"]}
                value={typed}
                placeholder="yesterday 14:00-15:00"
                autoComplete="off"
                aria-invalid={wrong}
                aria-describedby="typed-range-help"
                onChange={(event) => {
                  setTyped(event.target.value);
                  setWrong(false);
                }}
              />
              <button type="submit" className={styles["apply"]}>
                Show
              </button>
            </form>
            <p id="typed-range-help" className={wrong ? styles["error"] : styles["help"]} role={wrong ? "alert" : undefined}>
              {wrong ? "Not understood. " : ""}Write 45m, 13:00-14:00, or 2026-08-16 13:00 - 14:30.
            </p>
            <div className={styles["row"]}>
              <span>Clock</span>
              <Segments
                label="Clock"
                options={[
                  { value: "utc", label: "UTC" },
                  { value: "local", label: "Local" },
                ]}
                value={view.zone}
                onChange={view.setZone}
              />
            </div>
            <p className={styles["help"]} style={{ marginTop: 8 }}>
              Drag on a chart zooms in, <kbd>z</kbd> out, <kbd>[</kbd> <kbd>]</kbd> move.
            </p>
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}
