"""Is what lies here the content that is meant?"""
