// SPDX-License-Identifier: Apache-2.0
"use client";

import { Dialog } from "@base-ui/react/dialog";
import { SHORTCUTS } from "@/lib/shortcuts";
import styles from "./floating.module.css";

export function HelpDialog({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <Dialog.Backdrop className={styles["backdrop"]} />
        <Dialog.Popup className={styles["dialog"]}>
          <Dialog.Close className={styles["close"]}>Close</Dialog.Close>
          <Dialog.Title className={styles["dialogTitle"]}>Keys</Dialog.Title>
          <dl className={styles["keys"]}>
            {SHORTCUTS.map(({ keys, does }) => (
              <div key={does} style={{ display: "contents" }}>
                <dt>
                  {keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
