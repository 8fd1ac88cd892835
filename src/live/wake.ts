/**
 * Tells that something may have happened; never what. Wake-ups may be lost or come twice: whoever waits also looks by
 * itself now and then.
 */
export interface Wakes {
  /** Somebody should look for work. */
  work(): void
  onWork(call: () => void): () => void
  /** This run was cancelled: its holder should look. */
  cancel(runId: string): void
  onCancel(call: (runId: string) => void): () => void
  /** Something was committed to this run by somebody who does not hold it. Readers on every node look. */
  committed(runId: string): void
  onCommitted(call: (runId: string) => void): () => void
  close(): Promise<void>
}
