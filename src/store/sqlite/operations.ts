import { createApprovalWrites } from './approval-writes.ts'
import { createConversationWrites } from './conversation-writes.ts'
import { createNodeWrites } from './node-writes.ts'
import { createRetentionWrites } from './retention-writes.ts'
import { createRunCancel } from './run-cancel.ts'
import { createRunClaim } from './run-claim.ts'
import { createRunCommit } from './run-commit.ts'
import { createRunCreate } from './run-create.ts'
import { createToolResultWrites } from './tool-result-writes.ts'
import type { WriteContext } from './write-context.ts'
import { createWriteContext } from './write-context.ts'

/**
 * Everything the writer thread can do, by name. Inputs and results are flat: strings, numbers and arrays of them, with
 * JSON already made. An operation that throws is undone.
 */
export function createOperations(options: Pick<WriteContext, 'db' | 'attemptGap'>) {
  const context = createWriteContext(options)
  return {
    ...createNodeWrites(context),
    ...createRunCreate(context),
    ...createRunClaim(context),
    ...createRunCommit(context),
    ...createRunCancel(context),
    ...createToolResultWrites(context),
    ...createApprovalWrites(context),
    ...createConversationWrites(context),
    ...createRetentionWrites(context),
  }
}

export type Operations = ReturnType<typeof createOperations>
export type OperationName = keyof Operations
export type Operation = {
  [K in OperationName]: [name: K, input: Parameters<Operations[K]>[0]]
}[OperationName]
