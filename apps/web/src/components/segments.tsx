// SPDX-License-Identifier: Apache-2.0
"use client";

import { Toggle } from "@base-ui/react/toggle";
import { ToggleGroup } from "@base-ui/react/toggle-group";
import styles from "./controls.module.css";

export interface SegmentOption<T extends string> {
  readonly value: T;
  readonly label: string;
}

/** One of a few, always exactly one. */
export function Segments<T extends string>({
  label,
  options,
  value,
  onChange,
}: {
  label: string;
  options: readonly SegmentOption<T>[];
  value: T;
  onChange: (value: T) => void;
}) {
  return (
    <ToggleGroup
      aria-label={label}
      className={styles["segments"]}
      value={[value]}
      onValueChange={(values: readonly string[]) => {
        const next = options.find((o) => o.value === values[0]);
        if (next) onChange(next.value);
      }}
    >
      {options.map((option) => (
        <Toggle key={option.value} value={option.value} className={styles["segment"]}>
          {option.label}
        </Toggle>
      ))}
    </ToggleGroup>
  );
}
