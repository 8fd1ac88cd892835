import { createHash } from 'node:crypto'
import type { ModelItem } from '../items.ts'
import type { ModelRequest } from '../models/model.ts'

/** A request without what differs from run to run. Plain JSON; empty fields are left out. */
export interface RecordedRequest {
  instructions?: string | undefined
  /** In order. Without ids; calls and their results are paired by `call_1`, `call_2`… */
  items: Record<string, unknown>[]
  tools?: unknown[] | undefined
  toolChoice?: unknown
  outputSchema?: unknown
  settings?: Record<string, unknown> | undefined
}

/**
 * Takes out of a text what differs from run to run and says nothing, such as a date: `(text) => text.replace(/\d{4}-\d\d-\d\d/g,
 * 'DATE')`. Applied to each text of a request, the same when it is recorded and when it is compared.
 */
export type NormaliseText = (text: string) => string

/** The request as fixtures keep and compare it. */
export function toRecordedRequest(request: ModelRequest, normalise: NormaliseText = same): RecordedRequest {
  const { instructions, items, tools, toolChoice, outputSchema, settings } = request
  const ordinals = createOrdinals()
  const onText = (text: string) => normalise(ordinals.replaceIds(toShortData(text)))
  const recorded: RecordedRequest = {
    ...(instructions !== undefined && { instructions }),
    ...(tools.length > 0 && { tools: [...tools] }),
    ...(toolChoice !== undefined && { toolChoice }),
    ...(outputSchema && { outputSchema }),
    ...(Object.keys(settings).length > 0 && { settings: { ...settings } }),
    items: items.map((item) => withoutIds(item, ordinals)),
  }
  // What it is made of is plain data; the texts of plain data are replaced by texts.
  return mapTexts(JSON.parse(JSON.stringify(recorded)), onText) as RecordedRequest
}

const same: NormaliseText = (text) => text

function withoutIds(item: ModelItem, ordinals: Ordinals): Record<string, unknown> {
  const { id: _id, ...rest } = item
  return 'call_id' in rest ? { ...rest, call_id: ordinals.ofCall(rest.call_id) } : rest
}

interface Ordinals {
  ofCall(callId: string): string
  /** Ids of ours within a text. */
  replaceIds(text: string): string
}

/** Numbers ids by kind, in the order they are met in one request. */
function createOrdinals(): Ordinals {
  const known = new Map<string, string>()
  const counts = new Map<string, number>()
  const nameOf = (prefix: string, id: string) => {
    const found = known.get(id)
    if (found) return found
    const count = (counts.get(prefix) ?? 0) + 1
    counts.set(prefix, count)
    known.set(id, `${prefix}_${count}`)
    return `${prefix}_${count}`
  }
  return {
    ofCall: (callId) => nameOf('call', callId),
    replaceIds: (text) =>
      text.replace(/\b(run|conv|item|call|appr|key|req|node)_[0-9a-f]{32}\b/g, (id, prefix: string) =>
        nameOf(prefix, id),
      ),
  }
}

/** A file within a URL is told by what it is and its hash: nobody reads it, and it may be long. */
function toShortData(text: string): string {
  const head = text.length > 200 ? /^data:([^,]*),/.exec(text) : null
  if (!head) return text
  return `data:${head[1] ?? ''};sha256=${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
}

function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map((one) => mapTexts(one, change))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mapTexts(one, change)]))
}
