"""EngageLab's WhatsApp API, as its documentation has it."""
