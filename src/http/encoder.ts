import type { AppError } from '../errors.ts'
import type { RunEvent } from '../events.ts'

/** Events to wire text. Holds what the wire needs to know of earlier events; has no side effects. */
export interface Encoder {
  /** The frames of an event, whole; empty where the protocol has none for it. */
  push(event: RunEvent): string
  /** What follows the last event. */
  end(): string
  /** The stream breaks here, though the run may go on: the protocol's error event and its end. */
  fail(error: AppError): string
}
