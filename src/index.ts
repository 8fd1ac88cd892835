export { agent } from './agent/agent.ts'
export type { AgentOptions, SpecialistOptions } from './agent/agent-options.ts'
export type {
  Agent,
  Answer,
  ApprovalContext,
  AsToolOptions,
  Budget,
  Instructions,
  InstructionsContext,
  InstructionsFunction,
  InstructionsTemplate,
  ModelChoice,
  OpenToolSource,
  Question,
  RouteFunction,
  Tool,
  ToolContext,
  ToolEffect,
  ToolSource,
} from './agent/definitions.ts'
export type { FilterContext, HookContext, Hooks, Refusal, TextFilter } from './agent/hooks.ts'
export { readPrompt, template } from './agent/instructions.ts'
export { DefinitionError } from './parse-definition.ts'
export { tool } from './agent/tool.ts'
export type { ToolOptions } from './agent/tool.ts'
export type { Clock } from './clock.ts'
export type { Settings } from './config.ts'
export { AppError, errorCodes } from './errors.ts'
export type { AppErrorOptions, ErrorCode, ErrorLocation } from './errors.ts'
export type { EventOf, EventType, RunEvent } from './events.ts'
export type { Principal } from './identity/principal.ts'
export type {
  Item,
  MessageItem,
  ModelItem,
  NoteItem,
  Part,
  ReasoningItem,
  ToolCallItem,
  ToolResultItem,
} from './items.ts'
export type { Logger, LogLevel } from './logger.ts'
export { fromAiSdk } from './models/ai-sdk/ai-sdk-model.ts'
export type { AiSdkOptions } from './models/ai-sdk/ai-sdk-model.ts'
export { demoModel } from './models/demo.ts'
export type { DemoModelOptions } from './models/demo.ts'
export type {
  FinishReason,
  InputKind,
  Model,
  ModelPart,
  ModelPrice,
  ModelReply,
  ModelRequest,
  ModelSettings,
  ModelStreamOptions,
  ModelTool,
  ReasoningEffort,
  ToolChoice,
} from './models/model.ts'
export type { ProviderKey } from './models/key-ring.ts'
export type { ModelInfo } from './models/model-info.ts'
export type { ProviderOptions } from './models/providers.ts'
export { scriptedModel } from './models/scripted.ts'
export type {
  ReplyFunction,
  ScriptedError,
  ScriptedModel,
  ScriptedModelOptions,
  ScriptedReply,
  ScriptedToolCall,
  ScriptedTurn,
} from './models/scripted.ts'
export { denyList } from './moderation/deny-list.ts'
export type { DenyListOptions } from './moderation/deny-list.ts'
export { looksLikeInjection } from './moderation/injection.ts'
export type { Screening } from './moderation/injection.ts'
export { maxInput } from './moderation/max-input.ts'
export type { MaxInputOptions } from './moderation/max-input.ts'
export { redactPii, redactText } from './moderation/redact-pii.ts'
export type { PiiKind, RedactPiiOptions } from './moderation/redact-pii.ts'
export { screenToolResults } from './moderation/screen-tool-results.ts'
export type { ScreenFunction, ScreenToolResultsOptions } from './moderation/screen-tool-results.ts'
export { createParley } from './parley.ts'
export type { Parley, ParleyOptions } from './parley.ts'
export type {
  RunError,
  RunOptions,
  RunStatus,
  RunWarning,
  StopReason,
  TerminalStatus,
  Usage,
} from './run-state.ts'
export { eventsOf } from './runs/runs.ts'
export type {
  Approvals,
  ConversationRef,
  Conversations,
  CreatedRun,
  CreateRunInput,
  LogReader,
  Runs,
  ToolResultInput,
} from './runs/runs.ts'
export { serve } from './serve.ts'
export type { ParleyServer, ServeOptions } from './serve.ts'
export type { ApprovalRecord, ApprovalStatus, ConversationRecord, RunRecord } from './store/store.ts'
export { askUser, createAskUser } from './tools/ask-user.ts'
export type { AskUserInput, AskUserOptions } from './tools/ask-user.ts'
export { calculator } from './tools/calculator.ts'
export { httpRequest } from './tools/http-request.ts'
export type { HttpMethod, HttpRequestInput, HttpRequestOptions } from './tools/http-request.ts'
export { mcpTools } from './tools/mcp/mcp-tools.ts'
export type { McpTool, McpToolsOptions } from './tools/mcp/options.ts'
export type { OpenapiOperation } from './tools/openapi/document.ts'
export { openapiTools } from './tools/openapi/openapi-tools.ts'
export type { OpenapiToolsOptions } from './tools/openapi/openapi-tools.ts'
export { createWebSearch, webSearch } from './tools/web-search.ts'
export type { WebSearchOptions } from './tools/web-search.ts'
