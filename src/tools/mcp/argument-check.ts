import type { AnyTool, JsonSchema } from '../../agent/definitions.ts'
import { tool } from '../../agent/tool.ts'
import { DefinitionError } from '../../parse-definition.ts'

/** Whether arguments fit the schema of a tool, or else what is wrong with them. */
export type ArgumentCheck = AnyTool['parse']

/** Objects and lists in a schema. To read one of so many takes tens of milliseconds, in which no other run goes on. */
const maxParts = 2_000

/**
 * The schema is read at the first check: a server may list hundreds, and others again and again, of which no call ever needs
 * one. What cannot be read, or has very many parts, is left to the server, and everything fits.
 */
export function argumentCheck(schema: JsonSchema): ArgumentCheck {
  let check: ArgumentCheck | undefined
  return (input) => {
    check ??= toCheck(schema)
    return check(input)
  }
}

function toCheck(schema: JsonSchema): ArgumentCheck {
  if (partsOf(schema) > maxParts) return leaveToServer
  try {
    const checking = tool({ name: 'check', description: '', input: schema, execute: () => undefined })
    return (input) => checking.parse(input)
  } catch (error) {
    // A keyword that has no counterpart, or what is no JSON Schema: it is JSON from a wire.
    if (!(error instanceof DefinitionError)) throw error
    return leaveToServer
  }
}

const leaveToServer: ArgumentCheck = (input) => ({ ok: true, value: input })

/** Those in texts count as well. */
function partsOf(schema: JsonSchema): number {
  return JSON.stringify(schema).split(/[{[]/).length - 1
}
