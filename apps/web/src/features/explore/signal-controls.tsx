// SPDX-License-Identifier: Apache-2.0
"use client";

import { Toggle } from "@base-ui/react/toggle";
import { ToggleGroup } from "@base-ui/react/toggle-group";
import controls from "@/components/controls.module.css";
import { Segments } from "@/components/segments";
import type { Signal } from "@/lib/api/types";
import type { Choice } from "./choice";
import { groupable, toggled } from "./choice";
import styles from "./explore.module.css";
import type { Explored } from "./use-explore";

/** Which measure, in which way, and one line per what. */
export function SignalControls({ signal, choice, explored }: { signal: Signal; choice: Choice; explored: Explored }) {
  const measure = signal.measures.find(({ name }) => name === choice.measure);
  const label = (name: string): string => signal.dimensions.find((dimension) => dimension.name === name)?.label ?? name;
  return (
    <div className={styles["controls"]}>
      {signal.measures.length > 1 && (
        <div className={styles["control"]}>
          <span>measure</span>
          <Segments
            label="Measure"
            options={signal.measures.map(({ name }) => ({ value: name, label: name }))}
            value={choice.measure}
            onChange={explored.setMeasure}
          />
        </div>
      )}
      <div className={styles["control"]}>
        <span>as</span>
        <Segments
          label="Aggregate"
          options={(measure?.aggregates ?? []).map((name) => ({ value: name, label: name }))}
          value={choice.aggregate}
          onChange={explored.setAggregate}
        />
      </div>
      <div className={styles["control"]}>
        <span>by</span>
        <ToggleGroup
          aria-label="Group by, up to three"
          multiple
          className={controls["segments"]}
          value={[...choice.by]}
          onValueChange={(values: readonly string[]) => {
            const changed = groupable(signal).find((name) => values.includes(name) !== choice.by.includes(name));
            if (changed !== undefined) explored.setBy(toggled(choice.by, changed));
          }}
        >
          {groupable(signal).map((name) => (
            <Toggle key={name} value={name} className={controls["segment"]}>
              {label(name)}
            </Toggle>
          ))}
        </ToggleGroup>
      </div>
    </div>
  );
}
