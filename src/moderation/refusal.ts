import type { Refusal } from '../agent/hooks.ts'

export function refuseContent(message: string): Refusal {
  return { refuse: { code: 'content_filter', message } }
}
