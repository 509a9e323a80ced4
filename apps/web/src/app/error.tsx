// SPDX-License-Identifier: Apache-2.0
"use client";

import { useEffect } from "react";
import styles from "./sign-in/sign-in.module.css";

export default function PageError({ error, reset }: { error: Error & { digest?: string }; reset: () => void }) {
  useEffect(() => {
    console.error(error);
  }, [error]);
  return (
    <main className={styles["page"]}>
      <h1 className={styles["title"]}>This page broke while drawing</h1>
      <p>{error.message}</p>
      <button type="button" className={styles["button"]} onClick={reset}>
        Draw it again
      </button>
    </main>
  );
}
