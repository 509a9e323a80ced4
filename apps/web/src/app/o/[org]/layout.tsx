// SPDX-License-Identifier: Apache-2.0
import { type ReactNode, Suspense } from "react";
import { Shell } from "@/components/shell";

export default function OrganisationLayout({ children }: { children: ReactNode }) {
  return (
    <Suspense>
      <Shell>{children}</Shell>
    </Suspense>
  );
}
