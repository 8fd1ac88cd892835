import { normalise } from './folded-text.ts'

export interface Screening {
  flagged: boolean
  /** What was seen, in a few words, for people. Never the text itself. */
  reason?: string
}

/** What texts that want to steer a model have in them. Each is linear: no repetition within or beside another. */
const signs: readonly (readonly [reason: string, sign: RegExp])[] = [
  [
    'asks to ignore instructions',
    /\b(?:ignore|disregard|forget|override|bypass|discard|do not (?:follow|obey)|don't (?:follow|obey)|stop following|pay no attention to)\s(?:\w+\s){0,3}(?:all|any|every|everything|previous|prior|above|earlier|preceding|foregoing|original|initial|system|other|your|what)\s(?:\w+\s){0,4}(?:instructions?|prompts?|rules|guidelines|directives?|guardrails|commands|told|training)\b/i,
  ],
  [
    'asks to ignore instructions',
    /(?<!\p{L})(?:ignorier(?:e|en|st)?|vergiss|missachte|ignorez?|oubliez?|ignora|olvida|dimentica|esqueça)\s(?:[\p{L}']+\s){0,5}(?:anweisung(?:en)?|vorgaben|regeln|instructions|consignes|instrucciones|istruzioni|instruções)(?!\p{L})/iu,
  ],
  [
    'gives new instructions',
    /\b(?:(?:your|here are the|these are the) (?:new|real|actual|updated|only) (?:instructions?|task|goal|objective|role|system prompt)|new (?:system )?(?:instructions?|directives?) ?:|from now on,? you (?:are|will|must|should|only)|you (?:are|must) now (?:act|behave|respond|answer|be|become|in|an?|the|my|obey|ignore|free)\b|you are no longer (?:an?|the|bound|required|restricted)\b)/i,
  ],
  [
    'speaks to the model',
    /\b(?:(?:attention|(?:note|message|instructions?|notice)(?: to| for|,|:)) ?(?:the |any |all )?(?:ais?|llms?|language models?|ai (?:assistants?|agents?|models?)|assistants?|chatbots?)\b|if you(?:'re| are) (?:an?|the) (?:ai|llm|language model|assistant|chatbot|bot)\b|as (?:an?|the) (?:ai|llm|language model|assistant|chatbot),? you (?:must|should|need|have to))/i,
  ],
  [
    'asks for the system prompt',
    /\b(?:reveal|print|show|repeat|output|display|tell|give|send|leak|disclose|recite|return)\s(?:\w+\s){0,4}(?:(?:system|initial|hidden|original|secret)\s(?:prompt|instructions?)|your (?:instructions|prompt|guidelines))\b/i,
  ],
  [
    'asks to repeat what stands before it',
    /\b(?:repeat|print|output|write (?:out|down)) (?:everything|all (?:the )?(?:text|words)|the (?:text|words)) (?:above|before|so far)\b/i,
  ],
  [
    'asks to keep something from the user',
    /\b(?:do not|don't|never|without)\s(?:tell|telling|inform|informing|mention|mentioning|alert|alerting|notify|notifying|reveal|revealing)\s(?:\w+\s){0,4}(?:user|human|operator|owner)\b/i,
  ],
  [
    'asks to send data away',
    /\b(?:send|post|forward|email|upload|exfiltrate|transmit|leak)\s(?:\w+[\s,]){0,6}(?:conversation|chat history|api[ _-]?keys?|passwords?|credentials|secrets?|access tokens?|environment variables|private keys?)\s(?:\w+\s){0,4}(?:to|at|via|into)\b/i,
  ],
  [
    'plays a role of the conversation',
    /(?:^|\n)[ \t>*#-]{0,8}(?:system|assistant|developer|human|user)(?: (?:message|prompt|instructions?|override))? ?:(?:\*\*)? ?(?:you|your|ignore|please|from now|new|always|never|do not|don't|the user|now)\b/i,
  ],
  [
    'plays a role of the conversation',
    /(?:^|\n)(?:Human|HUMAN|User|USER): [^\n]{0,500}\n{1,3}(?:Assistant|ASSISTANT|AI):/,
  ],
  [
    'plays a role of the conversation',
    /<\|(?:im_start|im_end|system|endoftext|start_header_id|end_header_id|eot_id|begin_of_text|user|assistant|end)\|>|\[\/?INST\]|<<\/?SYS>>|<\/?(?:system|assistant)>|<\/?(?:system|assistant|developer|admin)[ _-](?:prompt|message|instructions?|override|reminder)>|(?:^|\n)#{2,3} ?(?:system|instructions?|assistant|human|response):/i,
  ],
  [
    'imitates a tool call',
    /<\/?(?:tool_call|tool_use|tool_result|function_calls?|invoke|antml:\w{1,20})\b|<function=|"(?:tool_calls|function_call)"\s?:|\{\s?"(?:name|tool|function)"\s?:\s?"[\w.-]{1,64}"\s?,\s?"(?:arguments|parameters|input)"\s?:|\b(?:call|invoke|use|run|execute) (?:the |your )?[`'"]?\w{1,64}[`'"]? tool (?:now|immediately|to (?:send|delete|transfer|pay|post|email|forward))\b/i,
  ],
  [
    'wants the model out of its role',
    /\b(?:god|unrestricted|jailbreak) mode (?:enabled|activated|on|is)\b|\bjailbroken\b|\bdo anything now\b|\b(?:act|pretend|behave|respond|roleplay) (?:as if|like|as though) you (?:have|had|were|are) (?:no|not|without|free)\b/i,
  ],
]

/**
 * Letters of the tag block and variation selectors spell out text that nobody sees. Flags of regions use a few tags, behind a
 * black flag; a character has one selector.
 */
const hiddenText =
  /(?<!\u{1F3F4}[\u{E0061}-\u{E007A}]{0,6})[\u{E0020}-\u{E007E}]{4}|[\u{FE00}-\u{FE0F}\u{E0100}-\u{E01EF}]{4}/u

/** Marks of Markdown that stand before, behind or in the words of a sentence. */
const emphasis = /[*~`]+/g

/**
 * Whether a text looks as if it were written to steer the model that reads it. A heuristic, in English and a few phrases of
 * other languages: it misses what is worded in a new way, encoded or drawn, and flags an honest page about the subject. It
 * takes time in proportion to the text.
 */
export function looksLikeInjection(text: string): Screening | undefined {
  if (hiddenText.test(text)) return { flagged: true, reason: 'holds text that cannot be seen' }
  const normal = normalise(text)
    .replace(/[\u2018\u2019]/g, "'")
    .replace(/[^\S\n]+/g, ' ')
  const flat = normal.replace(emphasis, '').replace(/[\n_]/g, ' ').replace(/ {2,}/g, ' ')
  const found = signs.find(([, sign]) => sign.test(flat) || sign.test(normal))
  return found && { flagged: true, reason: found[0] }
}
